"""Multi-view networks against what their authors' own code said, and what they are told."""

import copy
import json
import shutil
from pathlib import Path

import multiview_parity as parity
import pytest
import torch
from safetensors.torch import load_file, save_file

from redream.adapters import LightAdapter, VariationalAdapter
from redream.cameras import orbit, turntable
from redream.priors import BASE, ImageDreamPrior, MVDreamPrior, StableDiffusionPrior
from redream.priors.families.ldm import unet_of_ldm
from redream.priors.miniature import save_miniature_imagedream, save_miniature_mvdream
from redream.priors.miniature.imagedream import clip_vision
from redream.priors.poses import mvdream_cameras
from redream.priors.view_attention import ViewAttention
from redream.testing.priors import AdapterContract, PriorContract, noisy_rows
from redream.types import NoisyRows

RECORDED = Path(__file__).parent / "recorded"
V = parity.V


def authors_tensors(package, layout):
    """A network of the authors' in their names, as it was when its answers were recorded."""
    from safetensors import safe_open

    with safe_open(RECORDED / f"{package}.safetensors", "pt") as file:
        shapes = json.loads(file.metadata()["shapes"])[layout]
    return {name: parity.value(name, torch.Size(shape)) for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def mvdream_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mvdream")
    save_miniature_mvdream(folder)
    return folder


def as_others_save_it(folder, mvdream_folder, package, layout):
    """A diffusers folder whose UNet has the authors' names and a class of its own."""
    shutil.copytree(mvdream_folder, folder)
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(authors_tensors(package, layout), unet)
    config = {"_class_name": "MultiViewUNetModel", "num_head_channels": 16}
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    index = json.loads((folder / "model_index.json").read_text())
    index["unet"] = ["mv_unet", "MultiViewUNetModel"]
    index["image_encoder"] = ["transformers", "CLIPVisionModel"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return str(folder)


def authors_rows(package, layout):
    """Our rows for what the authors' network was given."""
    given = parity.inputs(package, layout)
    times = given["timesteps"][:: given["num_frames"]].repeat_interleave(V)
    x, context = parity.random("x", (2 * V, 4, 8, 8)), parity.random("context", (2 * V, 16, 16))
    return NoisyRows(x, times, context, (BASE,) * 2 * V, poses=parity.poses())


@pytest.mark.parametrize("layout", ["sd-v2.1", "sd-v1.5"])
def test_mvdream_is_the_authors_network(layout, tmp_path, mvdream_folder):
    recorded = load_file(RECORDED / "mvdream.safetensors")
    model = as_others_save_it(tmp_path / "model", mvdream_folder, "mvdream", layout)
    prior, rows = MVDreamPrior(model, image_size=16), authors_rows("mvdream", layout)
    with torch.no_grad():
        eps = prior.predict_noise(rows)
        without_cameras = prior.predict_noise(rows._replace(poses=torch.zeros_like(rows.poses)))
        prior.family.look_at(1)
        alone = prior.predict_noise(rows)
    torch.testing.assert_close(eps, recorded[layout], atol=1e-5, rtol=0)
    expected = recorded[f"{layout}.without_cameras"]
    torch.testing.assert_close(without_cameras, expected, atol=1e-5, rtol=0)
    assert (without_cameras - eps).abs().max() > 0.05
    assert (alone - eps).abs().max() > 0.05


def test_cameras_are_told_as_the_authors_tell_them():
    """Their own table of four cameras at 15 degrees, near and far."""
    recorded = load_file(RECORDED / "mvdream.safetensors")["cameras"]
    azimuth, ones = torch.tensor([20.0, 110.0, 200.0, 290.0]), torch.ones(4)
    for expected, distance in zip(recorded.split(4), (1.0, 3.0), strict=True):
        poses = orbit(azimuth, 15.0 * ones, distance * ones, 40.0 * ones).c2w
        torch.testing.assert_close(mvdream_cameras(poses), expected, atol=1e-6, rtol=0)
    assert torch.equal(load_file(RECORDED / "imagedream.safetensors")["cameras"], recorded)
    zeros = torch.zeros(1, 4, 4)
    assert mvdream_cameras(zeros).eq(0).all()


def test_the_front_is_where_blender_has_the_front_of_a_gltf():
    """At -Y, where glTF's +Z comes to lie; threestudio's azimuth 0 would be at +X."""
    (front,) = mvdream_cameras(turntable(1, elevation_deg=0.0).c2w).view(1, 4, 4)
    torch.testing.assert_close(front[:3, 3], torch.tensor([0.0, -1.0, 0.0]))
    torch.testing.assert_close(front[:3, 1], torch.tensor([0.0, 0.0, 1.0]))  # up is +Z


@pytest.fixture(scope="session")
def loaded_mvdream(mvdream_folder):
    return MVDreamPrior(str(mvdream_folder))


class OnMVDream:
    @pytest.fixture(autouse=True)
    def _loaded(self, loaded_mvdream):
        self.loaded = loaded_mvdream

    def make_prior(self):
        return copy.deepcopy(self.loaded)


class TestMVDreamPrior(OnMVDream, PriorContract):
    pass


class TestLightAdapter(OnMVDream, AdapterContract):
    def make_adapter(self):
        return LightAdapter(rank=2, learn_prefixes=False)


class TestVariationalAdapter(OnMVDream, AdapterContract):
    def make_adapter(self):
        return VariationalAdapter(rank=2, camera_conditioning=False)


def test_views_attend_as_one_long_picture_would(loaded_mvdream):
    """Queries, keys and values of single rows, and one attention over all of them."""
    attn = loaded_mvdream.family.denoiser.mid_block.attentions[0].transformer_blocks[0].attn1
    rows = torch.randn(2 * V, 6, attn.to_q.in_features)
    expected = ViewAttention(1)(attn, rows.view(2, V * 6, -1)).view(2 * V, 6, -1)
    torch.testing.assert_close(ViewAttention(V)(attn, rows), expected)
    assert (ViewAttention(1)(attn, rows) - expected).abs().max() > 1e-3


def test_each_set_wears_its_own_adapter_in_the_attention_over_views(loaded_mvdream):
    """Rows of phi, omega and zeta in one pass: each set as if it were alone."""
    prior = copy.deepcopy(loaded_mvdream)
    for adapter in (LightAdapter(rank=2), VariationalAdapter(rank=2)):
        adapter.attach(prior)
        for pair in adapter.lora.values():
            torch.nn.init.normal_(pair["lora_B"].weight, std=0.2)
    rows = noisy_rows(prior, (BASE, "omega", "zeta"))
    with torch.no_grad():
        mixed = prior.predict_noise(rows)
        for index in range(3):
            one = slice(V * index, V * (index + 1))
            alone = prior.predict_noise(rows.select(one))
            torch.testing.assert_close(mixed[one], alone, atol=1e-5, rtol=0)
        bare = prior.predict_noise(rows._replace(adapters=(BASE,) * 3 * V))
    assert torch.equal(bare[:V], mixed[:V])
    assert all((bare - mixed)[i * V : (i + 1) * V].abs().max() > 1e-3 for i in (1, 2))


def test_a_folder_of_another_kind_is_refused_in_one_line(mvdream_folder, sd_folders, tmp_path):
    with pytest.raises(ValueError, match="made for StableDiffusionPipeline: give .*MVDream"):
        MVDreamPrior(str(sd_folders["epsilon"]))
    with pytest.raises(ValueError, match="made for MVDreamPipeline"):
        StableDiffusionPrior(str(mvdream_folder))
    plain = tmp_path / "plain"
    shutil.copytree(sd_folders["epsilon"], plain)
    shutil.copy(mvdream_folder / "model_index.json", plain)
    with pytest.raises(ValueError, match="told no cameras"):
        MVDreamPrior(str(plain))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t.pop("input_blocks.0.0.weight"), "no UNet in the names"),
        (lambda t: t.pop("out.0.weight"), "another layout"),
        (lambda t: t.pop("input_blocks.1.0.in_layers.2.weight"), "UNet"),
        (lambda t: t.update({"out.2.weight": torch.zeros(5, 32, 3, 3)}), "another layout"),
    ],
)
def test_tensors_of_another_layout_are_refused_in_one_line(spoil, said):
    tensors = authors_tensors("mvdream", "sd-v2.1")
    spoil(tensors)
    with pytest.raises(ValueError, match=said) as refusal:
        unet_of_ldm(tensors, 16)
    assert "\n" not in str(refusal.value)


@pytest.fixture(scope="session")
def imagedream_folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("imagedream")
    for mode in ("pixel", "local"):
        save_miniature_imagedream(root / mode, mode)
    return {mode: root / mode for mode in ("pixel", "local")}


@pytest.mark.parametrize("mode", ["pixel", "local"])
def test_imagedream_is_the_authors_network(mode, tmp_path, mvdream_folder):
    """A UNet of the authors' in a folder of others', told a picture as they tell it."""
    folder = tmp_path / "model"
    as_others_save_it(folder, mvdream_folder, "imagedream", mode)
    clip = clip_vision(parity.WIDTH_OF_PICTURE, 224)  # 257 tokens, as many as were recorded
    clip.save_pretrained(folder / "image_encoder")
    prior, rows = ImageDreamPrior(str(folder), image_size=16), authors_rows("imagedream", mode)
    family = prior.family
    family.adapter.is_pixel = mode == "pixel"
    family.look_at(V + 1 if mode == "pixel" else V)
    prior._text_length = 16  # of the recorded context, not of the folder's tokenizer
    hidden = parity.random("ip", (1, 257, parity.WIDTH_OF_PICTURE))
    recorded = load_file(RECORDED / "imagedream.safetensors")
    with torch.no_grad():
        told = family.adapter.resampler(hidden) - family.nothing
        if mode == "pixel":
            latents = parity.random("ip_img", (1, 4, 8, 8))
            told = torch.cat([told, latents.reshape(1, -1, 16)], 1)
        seen = rows._replace(text=torch.cat([rows.text, told.expand(2 * V, -1, -1)], 1))
        eps = prior.predict_noise(seen)
        without_cameras = prior.predict_noise(seen._replace(poses=torch.zeros_like(rows.poses)))
        unseen = torch.cat([rows.text, torch.zeros(2 * V, *told.shape[1:])], 1)
        blind = prior.predict_noise(seen._replace(text=unseen))
        parts = [seen.text.clone() for _ in range(2 if mode == "pixel" else 1)]
        parts[0][:, 16 : 16 + family.adapter.num_tokens] = 0.0  # its tokens, and its latents
        parts[-1][:, 16 + family.adapter.num_tokens :] = 0.0
        less = [prior.predict_noise(seen._replace(text=part)) for part in parts]
        family.look_at(1)
        alone = prior.predict_noise(seen)
    for found, name in ((eps, mode), (without_cameras, f"{mode}.without_cameras")):
        views = recorded[name].unflatten(0, (2, -1))[:, :V].flatten(0, 1)  # without the picture
        torch.testing.assert_close(found, views, atol=1e-5, rtol=0)
    for withheld in (blind, without_cameras, alone, *less):
        assert (withheld - eps).abs().max() > 0.05


def test_rows_that_know_of_no_picture_are_told_what_the_authors_tell_them(imagedream_folders):
    """Zeros of a picture's tokens are the adapter's answer to zeros, and a picture of zeros."""
    prior = ImageDreamPrior(str(imagedream_folders["local"]))
    family = prior.family
    asked = []
    family.denoiser.register_forward_pre_hook(lambda module, args: asked.append(args[2]))
    rows = noisy_rows(prior, (BASE,))
    plain = rows.text[:, : prior._text_length]
    with torch.no_grad():
        prior.predict_noise(rows._replace(text=plain))
        expected = family.adapter.resampler(torch.zeros(1, 5, 32))
    torch.testing.assert_close(asked[0][:, -4:], expected.expand(V, -1, -1))


@pytest.fixture(scope="session")
def loaded_imagedreams(imagedream_folders):
    return {mode: ImageDreamPrior(str(folder)) for mode, folder in imagedream_folders.items()}


class OnImageDream:
    @pytest.fixture(autouse=True, params=["pixel", "local"])
    def _loaded(self, request, loaded_imagedreams):
        self.loaded = loaded_imagedreams[request.param]

    def make_prior(self):
        return copy.deepcopy(self.loaded)


class TestImageDreamPrior(OnImageDream, PriorContract):
    pass


class TestLightAdapterOnImageDream(OnImageDream, AdapterContract):
    def make_adapter(self):
        return LightAdapter(rank=2, learn_prefixes=False)


class TestVariationalAdapterOnImageDream(OnImageDream, AdapterContract):
    def make_adapter(self):
        return VariationalAdapter(rank=2, camera_conditioning=False)


def test_an_imagedream_is_no_mvdream(tmp_path, mvdream_folder, imagedream_folders):
    others = as_others_save_it(tmp_path / "a", mvdream_folder, "imagedream", "pixel")
    with pytest.raises(ValueError, match="class_path ImageDreamPrior"):
        MVDreamPrior(others)
    with pytest.raises(ValueError, match="made for ImageDreamPipeline"):
        MVDreamPrior(str(imagedream_folders["pixel"]))
    plain = as_others_save_it(tmp_path / "b", mvdream_folder, "mvdream", "sd-v2.1")
    with pytest.raises(FileNotFoundError, match="image_encoder"):
        ImageDreamPrior(plain)
