"""The classifier of poses: on pictures whose pose is known by construction."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from redream.cameras import turntable
from redream.method.poses import (
    ClipFeatures,
    PictureFeatures,
    TimmFeatures,
    fit_classifier,
    pose_of,
)
from redream.method.poses.classifier import calibration_error, fit_temperature
from redream.retrieval import Encoder
from redream.tools.embedded import resolve
from redream.types import References


class MeanColour(PictureFeatures):
    """The mean colour of the middle of a picture."""

    name = "mean colour"

    def of(self, pictures):
        return pictures[:, :, 4:12, 4:12].mean(dim=(2, 3))


def compass(num_assets=3, num_views=48, is_round=False):
    """Views of assets whose colour says the azimuth, each asset a little differently."""
    cameras = turntable(num_views)
    angle = torch.deg2rad(cameras.azimuth_deg) * (0.0 if is_round else 1.0)
    color = torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)], 1) * 0.4 + 0.5
    rgb = torch.cat([color + 0.03 * i for i in range(num_assets)])[:, :, None, None]
    rgba = torch.cat([rgb, torch.ones_like(rgb[:, :1])], 1).expand(-1, -1, 16, 16)
    every = cameras.select(torch.arange(num_views).repeat(num_assets))
    index = torch.arange(num_assets).repeat_interleave(num_views)
    return References(rgba.contiguous(), every, ("a top",) * num_assets, index)


def test_a_pose_is_an_arc_about_its_azimuth():
    azimuth = torch.tensor([0.0, 44.0, -44.0, 46.0, 90.0, 134.0, 136.0, 180.0, -180.0, -90.0])
    assert pose_of(azimuth, 4).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    counts = torch.bincount(pose_of(turntable(360).azimuth_deg, 8))
    assert counts.tolist() == [45] * 8
    assert pose_of(torch.tensor([-45.0001, 314.999, 359.9999, -1e-6]), 4).tolist() == [3, 3, 0, 0]


@pytest.mark.parametrize(("num_assets", "held_out"), [(3, "assets"), (1, "views")])
def test_it_learns_what_colours_say(num_assets, held_out):
    found = fit_classifier(MeanColour(), compass(num_assets), num_poses=4)
    assert found.accuracy > 0.85 and found.error < 0.1 and found.held_out == held_out
    assert found.num_views == 48 * num_assets and f"held-out {held_out}" in found.words
    new = compass(1, num_views=8)
    shows = found.probabilities(new.over(torch.ones(1, 3, 1, 1)))
    torch.testing.assert_close(shows.sum(1), torch.ones(8))
    assert shows[::2].argmax(1).tolist() == [0, 1, 2, 3] and float(shows[::2].amax(1).min()) > 0.7


def test_what_is_alike_from_all_round_is_told_apart_by_chance_alone():
    found = fit_classifier(MeanColour(), compass(is_round=True), num_poses=4)
    assert found.accuracy < 0.4
    new = compass(1, is_round=True).over(torch.ones(1, 3, 1, 1))
    assert float(found.probabilities(new).amax()) < 0.5  # and it knows it


def test_an_asset_that_faces_elsewhere_costs_accuracy():
    """Held-out assets, not held-out views, say what the classifier is worth for a new object."""
    views = compass(2)
    second = views.asset_index == 1
    rgba = views.rgba.clone()
    rgba[second] = rgba[second].roll(24, dims=0)  # its front is its back
    turned = fit_classifier(MeanColour(), views._replace(rgba=rgba))
    assert turned.accuracy < 0.2 < 0.6 < fit_classifier(MeanColour(), views).accuracy


def test_one_seed_makes_one_classifier():
    first, again = (fit_classifier(MeanColour(), compass(), seed=3) for _ in range(2))
    assert torch.equal(first.weight, again.weight) and first.temperature == again.temperature


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_a_scale(scale):
    """Labels drawn from softmax(z); of logits z scale the temperature is scale."""
    generator = torch.Generator().manual_seed(0)
    logits = 2.0 * torch.randn(20_000, 4, generator=generator)
    labels = logits.softmax(1).multinomial(1, generator=generator)[:, 0]
    assert fit_temperature(scale * logits, labels) == pytest.approx(scale, rel=0.04)
    raw, mended = (calibration_error((scale * logits / t).softmax(1), labels) for t in (1.0, scale))
    assert mended < 0.02 and (scale == 1.0 or raw > 5 * mended)


def test_a_temperature_has_bounds():
    """Of logits that are always right, and always wrong, no finite one is the likeliest."""
    logits, labels = torch.eye(4), torch.arange(4)
    assert fit_temperature(logits, labels) == pytest.approx(1 / 20, rel=1e-6)
    assert fit_temperature(-logits, labels) == pytest.approx(20, rel=1e-6)


def test_the_calibration_error_of_known_answers():
    sure = torch.tensor([[0.95, 0.05]] * 10)
    assert calibration_error(sure, torch.tensor([0] * 5 + [1] * 5)) == pytest.approx(0.45)
    assert calibration_error(sure[:, [1, 0]], torch.ones(10).long()) == pytest.approx(0.05)


def test_too_few_views_are_said():
    with pytest.raises(
        ValueError, match=r"show \[1, 1, 1, 1\] of 4 poses, and 2 of each.*num_view"
    ):
        fit_classifier(MeanColour(), compass(1, num_views=4))


def test_a_clips_features_are_its_vectors_and_carry_gradients():
    encoder = Encoder(resolve("embedded:retrieval_clip"), device="cpu")
    pictures = torch.rand(2, 3, 48, 48, requires_grad=True)
    found = ClipFeatures(encoder).of(pictures)
    unit = torch.nn.functional.normalize(found, dim=1)
    torch.testing.assert_close(unit.detach(), encoder.encode_images(pictures.detach()))
    found.sum().backward()
    assert pictures.grad.abs().sum() > 0


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("timm") / "test_vit.safetensors"
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit").state_dict(), path)
    return path


def test_timms_features_are_its_models_and_carry_gradients(weights):
    found = TimmFeatures("test_vit", weights, device="cpu")
    pictures = torch.rand(2, 3, 160, 160, requires_grad=True)
    model = timm.create_model("test_vit", checkpoint_path=str(weights)).eval()
    mine, seen = found.of(pictures), model.forward_features((pictures - 0.5) / 0.5)
    torch.testing.assert_close(mine, model.forward_head(seen, pre_logits=True))
    mine.sum().backward()
    assert pictures.grad.abs().sum() > 0
    assert found.of(torch.rand(1, 3, 30, 50)).shape == (1, 64)  # of any size


def test_timms_model_may_see_less(weights):
    small = TimmFeatures("test_vit", weights, image_size=64, device="cpu")
    assert small.of(torch.rand(1, 3, 30, 30)).shape == (1, 64)
    assert small._network.patch_embed.grid_size == (4, 4)


def test_bad_weights_are_refused_in_a_line(weights, tmp_path):
    with pytest.raises(ValueError, match="is not safetensors: convert it"):
        TimmFeatures("test_vit", tmp_path / "weights.pth")
    with pytest.raises(FileNotFoundError, match="no weights of test_vit at"):
        TimmFeatures("test_vit", tmp_path / "none.safetensors")
    for name in ("test_vit_of_nobody", "test_vit2"):
        with pytest.raises(ValueError, match=f"cannot load {name} of timm: [^\n]+$"):
            TimmFeatures(name, weights, device="cpu").of(torch.rand(1, 3, 8, 8))
