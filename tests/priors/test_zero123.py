"""Zero123 against what its authors' own code said, and what a view is told of a picture."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import zero123_parity as parity
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from redream.adapters import LightAdapter, VariationalAdapter
from redream.cameras import orbit
from redream.priors import (
    BASE,
    StableDiffusionPrior,
    StableZero123Prior,
    Zero123Prior,
    with_image,
    without_image,
)
from redream.priors.families.ldm import unet_of_ldm
from redream.priors.families.zero123 import clip_pixels
from redream.priors.miniature import save_miniature_zero123
from redream.priors.poses import spherical, zero123_pose
from redream.testing.priors import AdapterContract, PriorContract, disc_of, noisy_rows
from redream.types import ImagePrompt, NoisyRows

RECORDED = Path(__file__).parent / "recorded" / "zero123.safetensors"
NON_COMMERCIAL = "ignore:Stable Zero123's weights are licensed"


def degrees(azimuth, elevation, distance):
    return orbit(*(torch.tensor([float(each)]) for each in (azimuth, elevation, distance, 49.1)))


def authors_tensors(part):
    with safe_open(RECORDED, "pt") as file:
        shapes = json.loads(file.metadata()["shapes"])[part]
    return {name: parity.value(name, torch.Size(shape)) for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    made = {}
    for pose in ("distance", "elevation"):
        made[pose] = tmp_path_factory.mktemp(pose)
        save_miniature_zero123(made[pose], pose)
    return made


@pytest.fixture(scope="session")
def zero123(folders):
    return Zero123Prior(str(folders["distance"]))


@pytest.fixture
def of_the_authors(folders, tmp_path):
    """A folder with the network whose answers were recorded."""
    folder = tmp_path / "model"
    shutil.copytree(folders["distance"], folder)
    unet_of_ldm(authors_tensors("unet"), side=8).save_pretrained(folder / "unet")
    projection = {f"proj.{name}": each for name, each in authors_tensors("projection").items()}
    save_file(projection, folder / "cc_projection" / "diffusion_pytorch_model.safetensors")
    return folder


def recorded_rows(prior):
    """The rows that the authors' network was asked for: in their own words, to each view."""
    given = parity.inputs()
    views = [degrees(*each) for each in parity.ANGLES]
    where = spherical(views[0].c2w)
    row = torch.cat([torch.ones(1, 1), where, given["picture"], given["latents"].flatten(1)], 1)
    width = prior.family.width
    row = torch.nn.functional.pad(row, (0, -row.shape[1] % width)).unflatten(1, (-1, width))
    text = with_image(prior.encode_prompts(["a dog"] * len(views)), row)
    poses = torch.cat([each.c2w for each in views])
    return NoisyRows(given["x"], given["timesteps"], text, (BASE,) * len(views), poses=poses)


def test_it_is_the_authors_network(of_the_authors):
    recorded, prior = load_file(RECORDED), Zero123Prior(str(of_the_authors))
    rows = recorded_rows(prior)
    untold = without_image(prior.encode_prompts([""]), rows.text).expand_as(rows.text)
    with torch.no_grad():
        eps = prior.predict_noise(rows)
        turned = prior.predict_noise(rows._replace(poses=rows.poses.flip(0)))
        unconditional = prior.predict_noise(rows._replace(text=untold))
    torch.testing.assert_close(eps, recorded["eps"], atol=1e-5, rtol=0)
    torch.testing.assert_close(unconditional, recorded["unconditional"], atol=1e-5, rtol=0)
    assert (turned - eps).abs().max() > 0.05
    assert (unconditional - eps).abs().max() > 0.05


def test_a_view_is_told_as_in_the_authors_data():
    """``get_T`` of theirs, in Blender's axes, of the same cameras."""
    views = torch.cat([spherical(degrees(*each).c2w) for each in parity.ANGLES])
    ours = zero123_pose(views, views[:1], stable=False)
    torch.testing.assert_close(ours, load_file(RECORDED)["pose"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("azimuth", "elevation", "expected"),
    [
        (0, 5, (0, 0, 1)), (90, 5, (0, 1, 0)), (-90, 5, (0, -1, 0)), (180, 5, (0, 0, -1)),
        (0, 35, (-30, 0, 1)), (0, -25, (30, 0, 1)),
    ],
)  # fmt: skip
def test_poses_of_both_networks_differ_in_their_last_number(azimuth, elevation, expected):
    """threestudio's ``get_cond`` of either: polar angles are 90 degrees less elevation."""
    view, seen = (spherical(degrees(*each).c2w) for each in ((azimuth, elevation, 4), (0, 5, 3.8)))
    expected = [expected[0] * torch.pi / 180, *expected[1:]]
    for stable, last in ((False, 0.2), (True, 85 * torch.pi / 180)):
        pose = zero123_pose(view, seen, stable)[0]
        torch.testing.assert_close(pose, torch.tensor([*expected, last]), atol=1e-5, rtol=0)


def test_clip_is_shown_what_it_was_shown_in_training():
    shown = clip_pixels(parity.inputs()["pixels"], 224)[:, :, ::16, ::16]
    torch.testing.assert_close(shown, load_file(RECORDED)["pixels"], atol=1e-5, rtol=0)


def test_a_picture_is_seen_over_white_and_its_latents_are_not_scaled(zero123):
    image = disc_of(zero123)
    told = zero123.encode_image_prompts(image).flatten(1)
    where = spherical(image.cameras.c2w)
    torch.testing.assert_close(told[:, :4], torch.cat([torch.ones(1, 1), where], 1))
    white = image.over(torch.ones(1, 3, 1, 1))
    latents = zero123.encode_images(white) / zero123.latent_scale
    torch.testing.assert_close(told[:, 16 : 16 + 256], latents.flatten(1), atol=1e-5, rtol=1e-5)
    larger = ImagePrompt(image.rgba.repeat_interleave(2, 2).repeat_interleave(2, 3), image.cameras)
    again = zero123.encode_image_prompts(larger).flatten(1)
    torch.testing.assert_close(again, told, atol=0.5, rtol=0)


class TestZero123Prior(PriorContract):
    @pytest.fixture(autouse=True)
    def _folder(self, folders):
        self.folder = folders["distance"]

    def make_prior(self):
        return Zero123Prior(str(self.folder))


@pytest.mark.filterwarnings(NON_COMMERCIAL)
class TestStableZero123Prior(PriorContract):
    @pytest.fixture(autouse=True)
    def _folder(self, folders):
        self.folder = folders["elevation"]

    def make_prior(self):
        return StableZero123Prior(str(self.folder))


class TestLightAdapter(AdapterContract):
    @pytest.fixture(autouse=True)
    def _folder(self, folders):
        self.folder = folders["distance"]

    def make_prior(self):
        return Zero123Prior(str(self.folder))

    def make_adapter(self):
        return LightAdapter(rank=2, learn_prefixes=False)


class TestVariationalAdapter(TestLightAdapter):
    def make_adapter(self):
        return VariationalAdapter(rank=2, camera_conditioning=False)


def test_the_licence_of_stable_zero123_is_said(folders):
    with pytest.warns(UserWarning, match="non-commercial"):
        StableZero123Prior(str(folders["elevation"]))


@pytest.mark.filterwarnings(NON_COMMERCIAL)
def test_the_two_are_never_mixed(folders, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="class_path StableZero123Prior"):
        Zero123Prior(str(folders["elevation"]))
    with pytest.raises(ValueError, match="class_path Zero123Prior"):
        StableZero123Prior(str(folders["distance"]))
    folder = tmp_path / "model"
    shutil.copytree(folders["distance"], folder)
    index = json.loads((folder / "model_index.json").read_text())
    del index["zero123_pose"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="does not say whether it is Zero123 or Stable"):
        Zero123Prior(str(folder))
    monkeypatch.chdir(tmp_path)  # a copy under the name that the public conversion has
    (tmp_path / "kxic").mkdir()
    for name in ("zero123-xl", "stable-zero123"):
        shutil.copytree(folder, tmp_path / "kxic" / name)
    Zero123Prior("kxic/zero123-xl")
    with pytest.raises(ValueError, match="class_path StableZero123Prior"):
        Zero123Prior("kxic/stable-zero123")


def test_views_are_taken_as_the_picture_was(zero123):
    image = ImagePrompt(torch.ones(1, 4, 8, 8), degrees(0, 5, 3.8))
    zero123.require_image(image, (3.4, 4.2), (49.0, 49.5))
    with pytest.raises(ValueError, match=r"fovy_deg \[49.1,49.1\]"):
        zero123.require_image(image, (3.8, 3.8), (40.0, 60.0))
    with pytest.raises(ValueError, match=r"distance \[3.8,3.8\]"):
        zero123.require_image(image, (1.0, 3.8), (49.1, 49.1))


def test_other_models_are_refused(folders, tmp_path):
    with pytest.raises(ValueError, match="Zero1to3StableDiffusionPipeline"):
        StableDiffusionPrior(str(folders["distance"]))
    for part, options, line in (
        ("unet", {"in_channels": 4}, "takes 4 channels"),
        ("unet", {"cross_attention_dim": 24}, "conditions of width 24"),
    ):
        folder = tmp_path / str(options)
        save_miniature_zero123(folder / "whole")
        save_miniature_zero123(folder / "other", **options)
        shutil.rmtree(folder / "whole" / part)
        shutil.copytree(folder / "other" / part, folder / "whole" / part)
        with pytest.raises(ValueError, match=line):
            Zero123Prior(str(folder / "whole"))
    path = folder / "whole" / "cc_projection" / "diffusion_pytorch_model.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="not one linear layer"):
        Zero123Prior(str(folder / "whole"))
    with pytest.raises(ValueError, match="takes no LoRAs"):
        Zero123Prior(str(folders["distance"]), loras=["a.safetensors"])


def test_it_frees_what_saw_the_picture(folders):
    prior = Zero123Prior(str(folders["distance"]))
    rows = noisy_rows(prior, (BASE,))
    prior.free_text_encoders()
    prior.free_autoencoder()
    prior.predict_noise(rows)
    with pytest.raises(RuntimeError, match="freed"):
        prior.encode_image_prompts(disc_of(prior))
