"""Geometry keeps all of float32's bits where networks may round."""

import pytest
import torch

from redream.cameras import orbit, rays, turntable
from redream.kernels.outlines import project
from redream.kernels.splats_projection import pinholes, viewing_depths
from redream.precision import full_precision

CAMERAS = orbit(torch.tensor([10.0, 77.0, 201.0]), torch.full((3,), 13.0), torch.full((3,), 3.0),
                torch.full((3,), 40.0))  # fmt: skip
POINTS = torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) - 0.5


@pytest.mark.parametrize(
    "geometry",
    [
        lambda: torch.cat([each.flatten() for each in rays(CAMERAS, 64, 64)]),
        lambda: torch.cat([each.flatten() for each in pinholes(CAMERAS, 64, 64)]),
        lambda: viewing_depths(POINTS, pinholes(CAMERAS, 64, 64)),
        lambda: project(POINTS, CAMERAS, 512, 512),
    ],
    ids=["rays", "pinholes", "depths", "outlines"],
)
def test_mixed_precision_moves_nothing(geometry):
    plain = geometry()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = geometry()
    assert mixed.dtype == torch.float32 and torch.equal(mixed, plain)


@pytest.mark.parametrize("kind", ["Mesh", "Splats"])
def test_a_picture_in_mixed_precision_is_where_it_is(kind):
    from redream import representations

    scene = getattr(representations, kind)(0)
    scene.update(0)
    with torch.no_grad():
        plain = scene.render(turntable(2), 128, 128)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = scene.render(turntable(2), 128, 128)
    torch.testing.assert_close(mixed.opacity, plain.opacity, atol=1e-5, rtol=0)
    torch.testing.assert_close(mixed.depth, plain.depth, atol=1e-4, rtol=0)


def test_a_device_without_mixed_precision_needs_nothing():
    with full_precision(torch.empty(1, device="meta")):
        assert torch.ones(2).sum() == 2
