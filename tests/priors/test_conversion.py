"""Authors' checkpoints become folders in diffusers' format, whole or not at all."""

import json
import os
import signal
import time

import pytest
import torch
from safetensors.torch import load_file
from test_multiview import RECORDED, authors_rows, authors_tensors

from redream.cli import main
from redream.priors import MVDreamPrior
from redream.priors.checkpoints import read_checkpoint, with_averages

PREFIX = "model.diffusion_model."


def words_of(folder):
    name = "text_model.embeddings.token_embedding.weight"
    tensors = load_file(folder / "text_encoder" / "model.safetensors")
    return next(each for key, each in tensors.items() if name.endswith(key) or key.endswith(name))


@pytest.fixture
def checkpoint(tmp_path, sd_folders):
    """One pickle of a UNet in the authors' names, and the words of its text encoder."""
    tensors = {PREFIX + name: each for name, each in authors_tensors("mvdream", "sd-v2.1").items()}
    words = words_of(sd_folders["epsilon"])
    tensors["cond_stage_model.model.token_embedding.weight"] = words
    path = tmp_path / "sd-v2.1-base-4view.pt"
    torch.save(tensors, path)
    return path


def convert(checkpoint, out, base, *more):
    return main(["convert", str(checkpoint), str(out), f"--base={base}", "--head_width=16", *more])


def test_a_converted_checkpoint_is_the_authors_network(checkpoint, tmp_path, sd_folders, capsys):
    out = tmp_path / "mvdream"
    assert convert(checkpoint, out, sd_folders["epsilon"]) == 0
    assert "licence" in capsys.readouterr().out
    prior, rows = MVDreamPrior(str(out), image_size=16), authors_rows("mvdream", "sd-v2.1")
    with torch.no_grad():
        eps = prior.predict_noise(rows)
    expected = load_file(RECORDED / "mvdream.safetensors")["sd-v2.1"]
    torch.testing.assert_close(eps, expected, atol=1e-5, rtol=0)
    source = json.loads((out / "source.json").read_text())
    assert source["checkpoint"] == checkpoint.name and "OpenRAIL" in source["licence"]
    assert len(source["sha256"]) == 64 and source["published"].endswith("MVDream/MVDream")
    assert not [*out.rglob("*.bin"), *out.rglob("*.pt")]


def test_half_precision_can_be_asked_for(checkpoint, tmp_path, sd_folders):
    out = tmp_path / "mvdream"
    convert(checkpoint, out, sd_folders["epsilon"], "--dtype=float16")
    tensors = load_file(out / "unet" / "diffusion_pytorch_model.safetensors")
    assert {each.dtype for each in tensors.values()} == {torch.float16}


def refused(capsys, *arguments):
    assert main(["convert", *map(str, arguments)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_what_is_no_such_checkpoint_is_refused_in_one_line(
    checkpoint, tmp_path, sd_folders, capsys
):
    base, out = f"--base={sd_folders['epsilon']}", tmp_path / "out"
    assert "no file" in refused(capsys, tmp_path / "none.pt", out, base)
    (tmp_path / "torn.pt").write_bytes(checkpoint.read_bytes()[:5000])
    assert "damaged" in refused(capsys, tmp_path / "torn.pt", out, base)
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    assert "another layout" in refused(capsys, tmp_path / "other.pt", out, base)
    for zipped in (True, False):
        code = tmp_path / f"code {zipped}.pt"
        torch.save({"a": Exploding()}, code, _use_new_zipfile_serialization=zipped)
        assert "run code" in refused(capsys, code, out, base)
    tensors = torch.load(checkpoint, weights_only=True)
    del tensors[PREFIX + "input_blocks.1.0.in_layers.0.weight"]
    torch.save(tensors, tmp_path / "short.pt")
    said = refused(capsys, tmp_path / "short.pt", out, base, "--head_width=16")
    assert "another layout" in said and "MVDream" in said
    tensors = torch.load(checkpoint, weights_only=True)
    tensors["cond_stage_model.model.token_embedding.weight"] += 1.0
    torch.save(tensors, tmp_path / "words.pt")
    assert "--base" in refused(capsys, tmp_path / "words.pt", out, base, "--head_width=16")
    assert not out.exists() and not [*tmp_path.glob(".out*")]
    for name, content in (
        ("page.ckpt", b"<!DOCTYPE html><html>404</html>"),
        ("pointer.ckpt", b"version https://git-lfs.github.com/spec/v1\n"),
        ("byte.pt", b"P"),
    ):
        (tmp_path / name).write_bytes(content)
        said = refused(capsys, tmp_path / name, out, base)
        assert "no checkpoint: download it again" in said and "run code" not in said
    assert "at least 1" in refused(capsys, checkpoint, out, base, "--head_width=0")
    assert not out.exists() and not [*tmp_path.glob(".out*")]
    out.mkdir()
    assert "exists" in refused(capsys, checkpoint, out, base)


def test_what_is_said_of_another_kind_is_not_ignored(checkpoint, tmp_path, sd_folders, capsys):
    """Were it written down, an ImageDream that is pixel would silently be a local one."""
    out, base, other = tmp_path / "out", f"--base={sd_folders['epsilon']}", tmp_path / "other.pt"
    said = refused(capsys, checkpoint, out, base, "--mode=pixel")
    assert "is MVDream, which has no --mode pixel: leave it out" in said
    tensors = {PREFIX + n: each for n, each in authors_tensors("imagedream", "pixel").items()}
    torch.save(tensors, other)
    said = refused(capsys, other, out, base, "--mode=zero123")
    assert "is ImageDream, which has no --mode zero123: give pixel or local" in said
    assert not out.exists()


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_what_is_stopped_in_the_middle_leaves_nothing(
    asked, checkpoint, tmp_path, sd_folders, monkeypatch
):
    """The signal comes between the UNet, which is written, and what is beside it."""
    written = []

    def stop(*_):
        written.extend(tmp_path.glob(".out.*.part/unet/*.safetensors"))
        os.kill(os.getpid(), asked)
        time.sleep(5.0)  # the handler runs first

    monkeypatch.setattr("redream.priors.conversion.write_base", stop)
    words = [str(checkpoint), str(tmp_path / "out"), f"--base={sd_folders['epsilon']}"]
    with pytest.raises(SystemExit) as leaving:
        main(["convert", *words, "--head_width=16"])
    assert leaving.value.code == 128 + asked and written
    assert not [*tmp_path.glob("*out*")]


class Exploding:
    def __reduce__(self):
        return exec, ("raise SystemExit('run')",)


def test_averaged_weights_take_the_place_of_those_they_are_averages_of(tmp_path):
    tensors = {
        "model.diffusion_model.out.0.weight": torch.zeros(2),
        "model_ema.diffusion_modelout0weight": torch.ones(2),
        "model_ema.decay": torch.tensor(0.9999),
        "first_stage_model.a": torch.full((1,), 3.0),
    }
    found = with_averages(tensors)
    assert set(found) == {"model.diffusion_model.out.0.weight", "first_stage_model.a"}
    assert found["model.diffusion_model.out.0.weight"].eq(1).all()
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "a.ckpt")
    read = read_checkpoint(tmp_path / "a.ckpt")
    assert read["model.diffusion_model.out.0.weight"].eq(1).all()


def test_a_converted_imagedream_is_one_that_sees(tmp_path, sd_folders, checkpoint):
    """Its CLIP sees what open_clip's does, and the file's name says that it is local."""
    from open_clip.transformer import VisionTransformer

    from redream.priors import ImageDreamPrior

    visual = VisionTransformer(28, 14, 1280, 2, 16, 4.0, output_dim=8).eval()
    tensors = {PREFIX + name: each for name, each in authors_tensors("imagedream", "local").items()}
    tensors |= {f"clip_model.model.visual.{n}": t for n, t in visual.state_dict().items()}
    path, out = tmp_path / "4view-ipmv-local.pt", tmp_path / "imagedream"
    torch.save(tensors, path)
    assert convert(path, out, sd_folders["epsilon"]) == 0
    prior = ImageDreamPrior(str(out), image_size=16)
    assert not prior.family.adapter.is_pixel and prior.family.adapter.num_tokens == 16
    pixels, seen = torch.rand(1, 3, 28, 28), []
    visual.transformer.resblocks[0].register_forward_hook(lambda *a: seen.append(a[2]))
    with torch.no_grad():
        visual(pixels)
        hidden = prior.family.image_encoder(pixels, output_hidden_states=True).hidden_states[-2]
    expected = seen[0] if seen[0].shape == hidden.shape else seen[0].transpose(0, 1)
    torch.testing.assert_close(hidden, expected, atol=1e-4, rtol=0)
