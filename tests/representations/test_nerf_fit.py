import pytest
import torch

from redream.cameras import Cameras, rays, sample_cameras, turntable
from redream.representations import NeRF
from redream.types import key_generator

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
RADIUS = 0.6


def coloured_sphere(cameras: Cameras, size: int):
    """Premultiplied colour and coverage of a sphere coloured by its normal."""
    origins, directions = rays(cameras, size, size)
    b = (origins * directions).sum(-1)
    discriminant = b**2 - (origins**2).sum(-1) + RADIUS**2
    hit = (discriminant > 0).float()[..., None]
    points = origins + (-b - discriminant.clamp_min(0).sqrt())[..., None] * directions
    colors = hit * (0.5 + 0.4 * points / RADIUS)
    return colors.permute(0, 3, 1, 2), hit.permute(0, 3, 1, 2)


@pytest.mark.parametrize("device", DEVICES)
def test_a_coloured_sphere_is_learned_from_pictures(device):
    nerf = NeRF(occupancy_warmup=16).to(device)
    optimizer = torch.optim.AdamW(nerf.parameter_groups(), betas=(0.9, 0.99), eps=1e-15)
    for step in range(150):
        cameras = sample_cameras(1, key_generator("test", 1, step)).to(device)
        colors, coverage = coloured_sphere(cameras, 64)
        nerf.update(step)
        views = nerf.render(cameras, 64, 64)
        loss = ((views.rgb - colors) ** 2).mean() + ((views.opacity - coverage) ** 2).mean()
        loss = loss + 1e-3 * views.penalties["orientation"] + 1e-3 * views.penalties["spread"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    nerf.eval()
    cameras = turntable(4, elevation_deg=20.0).to(device)
    with torch.no_grad():
        error = (nerf.render(cameras, 64, 64).rgb - coloured_sphere(cameras, 64)[0]) ** 2
    assert -10 * error.mean().log10().item() > 22.0

    vertices, faces = nerf.extract_surface(64)
    radii = vertices.norm(dim=-1)
    assert radii.mean().item() == pytest.approx(RADIUS, rel=0.1)
    assert ((radii > 0.9 * RADIUS) & (radii < 1.1 * RADIUS)).float().mean() > 0.95
    difference = nerf.colors(vertices) - (0.5 + 0.4 * vertices / RADIUS)
    assert difference.abs().mean() < 0.12  # grey would be off by 0.2
