"""Zero123's checkpoints become folders that say which of the two they are."""

import json

import pytest
import torch
from safetensors.torch import load_file
from test_zero123 import NON_COMMERCIAL, RECORDED, authors_tensors, recorded_rows
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from redream.cli import main
from redream.priors import StableZero123Prior, Zero123Prior

LAYERS = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
}  # fmt: skip


@pytest.fixture(scope="module")
def clip():
    """A picture encoder of OpenAI's kind, its heads 64 wide."""
    config = CLIPVisionConfig(
        hidden_size=64, intermediate_size=32, projection_dim=12, num_hidden_layers=2,
        num_attention_heads=1, image_size=14, patch_size=7, hidden_act="quick_gelu",
    )  # fmt: skip
    torch.manual_seed(0)
    return CLIPVisionModelWithProjection(config).eval()


def in_openais_names(clip):
    """Its tensors as the authors' checkpoint has them."""
    state = {key.removeprefix("vision_model."): each for key, each in clip.state_dict().items()}
    found = {
        "class_embedding": state["embeddings.class_embedding"],
        "positional_embedding": state["embeddings.position_embedding.weight"],
        "conv1.weight": state["embeddings.patch_embedding.weight"],
        "proj": state["visual_projection.weight"].T,
    }
    for end in ("weight", "bias"):
        found[f"ln_pre.{end}"] = state[f"pre_layrnorm.{end}"]
        found[f"ln_post.{end}"] = state[f"post_layernorm.{end}"]
        for index in range(2):
            ours, theirs = f"encoder.layers.{index}", f"transformer.resblocks.{index}"
            for old, new in LAYERS.items():
                found[f"{theirs}.{new}.{end}"] = state[f"{ours}.{old}.{end}"]
            parts = [state[f"{ours}.self_attn.{letter}_proj.{end}"] for letter in "qkv"]
            found[f"{theirs}.attn.in_proj_{end}"] = torch.cat(parts)
    return found


@pytest.fixture
def checkpoint(tmp_path, clip):
    """One pickle with the averages of a UNet, in the authors' names."""
    unet = authors_tensors("unet")
    tensors = {f"model.diffusion_model.{name}": 0.0 * each for name, each in unet.items()}
    tensors |= {
        "model_ema." + f"diffusion_model.{name}".replace(".", ""): each
        for name, each in unet.items()
    }
    projection = authors_tensors("projection")
    tensors |= {f"cc_projection.{name}": each for name, each in projection.items()}
    visual = in_openais_names(clip).items()
    tensors |= {f"cond_stage_model.model.visual.{name}": each for name, each in visual}
    path = tmp_path / "105000.ckpt"
    torch.save({"state_dict": tensors}, path)
    return path


@pytest.mark.filterwarnings(NON_COMMERCIAL)
@pytest.mark.parametrize("mode", ["zero123", "stable_zero123"])
def test_a_converted_checkpoint_is_the_authors_network(
    mode, checkpoint, tmp_path, sd_folders, clip, capsys
):
    out, base = tmp_path / "out", sd_folders["epsilon"]
    assert main(["convert", str(checkpoint), str(out), f"--base={base}", f"--mode={mode}"]) == 0
    assert "non-commercial" in capsys.readouterr().out
    kinds = [Zero123Prior, StableZero123Prior]
    kind, other = kinds if mode == "zero123" else reversed(kinds)
    prior = kind(str(out), image_size=16)
    with pytest.raises(ValueError, match=f"class_path {kind.__name__}"):
        other(str(out))
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    from redream.priors.families.zero123 import clip_pixels

    with torch.no_grad():
        seen = clip(clip_pixels(picture, 14)).image_embeds
        torch.testing.assert_close(prior.family.encode_picture(picture), seen)
        if mode == "zero123":
            eps = prior.predict_noise(recorded_rows(prior))
            torch.testing.assert_close(eps, load_file(RECORDED)["eps"], atol=1e-5, rtol=0)
    assert json.loads((out / "source.json").read_text())["kind"] == "Zero123"


def test_which_one_it_is_has_to_be_said(checkpoint, tmp_path, sd_folders, capsys):
    out = tmp_path / "out"
    assert main(["convert", str(checkpoint), str(out), f"--base={sd_folders['epsilon']}"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "--mode stable_zero123" in said
    assert not out.exists()


def test_what_a_checkpoint_lacks_is_named(checkpoint, tmp_path, sd_folders, capsys):
    read = torch.load(checkpoint, weights_only=True)["state_dict"]
    for name in (
        "cc_projection.bias",
        "cond_stage_model.model.visual.transformer.resblocks.1.ln_2.bias",
    ):
        torch.save(
            {key: each for key, each in read.items() if key != name}, tmp_path / "lacks.ckpt"
        )
        words = [str(tmp_path / "lacks.ckpt"), str(tmp_path / "out"), "--mode=zero123"]
        assert main(["convert", *words, f"--base={sd_folders['epsilon']}"]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and name.partition(".")[2].partition("visual.")[2] in said
        assert "has no tensor" in said and not [*tmp_path.glob("*out*")]
