"""The film shows the particle, whatever it is drawn from."""

import pytest
import torch

from redream import cameras
from redream.export.film import film_frames
from redream.export.models import ModelExport
from redream.export.turntable import render_over_white


@pytest.fixture
def exported(sphere, tmp_path):
    return ModelExport(surface_resolution=24, texture_size=64, picture_size=16).write(
        sphere, tmp_path / "ball", {}
    )


def test_a_volume_is_filmed_by_its_model_where_the_model_stands(sphere, exported, monkeypatch):
    orbit = cameras.turntable(4)
    truth = render_over_white(sphere, orbit, 32)
    sphere.is_soft = True

    def never(*_):
        raise AssertionError("a volume's own pictures take long")

    monkeypatch.setattr(sphere, "render", never)
    frames = film_frames(sphere, exported, orbit, 32)
    assert frames.shape == truth.shape
    assert (frames - truth).abs().mean() < 0.02
    assert (frames[0] - truth[1]).abs().mean() > 0.05  # from the very cameras


@pytest.mark.parametrize("soft", [False, True], ids=["a surface", "without a model"])
def test_all_else_is_filmed_itself(sphere, exported, soft):
    sphere.is_soft = soft
    orbit = cameras.turntable(2)
    frames = film_frames(sphere, None if soft else exported, orbit, 24)
    torch.testing.assert_close(frames, render_over_white(sphere, orbit, 24))
