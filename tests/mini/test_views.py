"""Sets of views of the library, and the multi-view prior that learns from them."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from redream.mini.captions import CLAY_COLOURS
from redream.mini.library import individuals
from redream.mini.multiview_dataset import load_view_sets, render_view_sets
from redream.mini.prepare import WEIGHTS
from redream.mini.train_views import told_cameras
from redream.priors import BASE, MVDreamPrior
from redream.priors.poses import spherical
from redream.types import NoisyRows


@pytest.fixture(scope="module")
def sets():
    return render_view_sets(individuals()[:2], sets_each=2, seed=3)


def test_views_of_a_set_stand_at_equal_steps_of_one_circle(sets):
    for poses in sets.poses:
        polar, azimuth, distance = spherical(poses).T
        steps = torch.diff(torch.cat([azimuth, azimuth[:1]])).remainder(2 * torch.pi)
        assert torch.allclose(steps, torch.full((4,), torch.pi / 2), atol=1e-5)
        assert polar.std() < 1e-6 and distance.std() < 1e-6
        assert 60 <= torch.rad2deg(polar[0]) <= 90.001 and 2.8 <= distance[0] <= 3.2


def test_sets_show_one_asset_each_from_other_sides_under_one_light(sets):
    assert sets.pictures.shape == (4, 4, 64, 64, 3) and sets.pictures.dtype == np.uint8
    corners = sets.pictures[:, :, 0, 0].astype(int)  # one background each
    assert (corners == corners[:, :1]).all()
    apart = [np.abs(each[0].astype(int) - each[2]).mean() for each in sets.pictures]
    assert min(apart) > 1.0
    assert not np.array_equal(sets.pictures[0], sets.pictures[1])
    for caption in sets.captions:
        assert "view" not in caption and individuals()[0].category in caption
        assert "clay" in caption or any(colour in caption for colour in CLAY_COLOURS)


def test_kept_sets_are_the_rendered_ones(tmp_path, sets):
    path = tmp_path / "below" / "views.npz"
    library = individuals()[:1]
    made = load_view_sets(path, library, 1)
    kept = load_view_sets(path, library, 1)
    assert np.array_equal(made.pictures, kept.pictures) and made.captions == kept.captions
    assert torch.equal(made.poses, kept.poses)


def test_a_place_for_cameras_changes_no_answer_before_it_is_trained():
    unet = UNet2DConditionModel.from_pretrained(WEIGHTS / "prior", subfolder="unet").float().eval()
    told = told_cameras(unet).eval()
    generator = torch.Generator().manual_seed(0)
    noisy, text = (torch.randn(*size, generator=generator) for size in ((2, 8, 16, 16), (2, 8, 96)))
    with torch.no_grad():
        before = unet(noisy, 400, text).sample
        after = told(noisy, 400, text, class_labels=torch.randn(2, 16, generator=generator)).sample
    assert torch.allclose(before, after, atol=1e-6)


@pytest.mark.slow
def test_one_command_makes_a_prior_that_looks_at_sets(tmp_path):
    command = [sys.executable, "-m", "redream.mini.train_views", "--out", tmp_path / "out"]
    options = ["--num_steps", "3", "--sets_each", "1", "--num_pictures", "20"]
    subprocess.run([*command, "--work", tmp_path / "work", *options], check=True)
    prior = MVDreamPrior(str(tmp_path / "out"))
    poses = render_view_sets(individuals()[:1], sets_each=1).poses[0]
    rows = NoisyRows(
        torch.randn(4, *prior.latent_shape, generator=torch.Generator().manual_seed(0)),
        torch.full((4,), 500),
        prior.encode_prompts(["a box"] * 4),
        (BASE,) * 4,
        poses=poses,
    )
    turned = rows._replace(poses=poses.roll(1, 0))
    with torch.no_grad():
        assert not torch.equal(prior.predict_noise(rows), prior.predict_noise(turned))
