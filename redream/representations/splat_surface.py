"""The surface of splats: depths of views from around, fused (Curless and Levoy, 1996)."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from redream.cameras import concatenate, turntable
from redream.kernels.occupancy import cell_points
from redream.kernels.splats_projection import pinholes
from redream.precision import full_precision
from redream.types import Cameras, Views

_ELEVATIONS_DEG = (-45.0, 0.0, 45.0)
_NUM_AZIMUTHS = 12
_BAND = 5.0  # cells behind a surface within which a view still knows it
_COVERED = 0.5  # opacity from which on a pixel sees the surface


@torch.no_grad()
def fuse_depths(
    render: Callable[[Cameras, int, int], Views],
    resolution: int,
    size: int,
    distance: float,
    device: torch.device,
) -> Float[Tensor, "G G G"]:
    """How deep inside each cell is, as views from around see it.

    A view knows a cell in front of its surface (outside), in a band behind it, and nothing of what
    lies deeper. A cell that no view knows is inside.

    Args:
        render: Renders views.
        resolution: Cells along each axis of [-1, 1]^3.
        size: Height and width of the views in pixels.
        distance: Of the cameras.
        device: Where to render.

    Returns:
        Positive inside, negative outside, in [-1, 1], at the cells' centres.
    """
    cameras = concatenate(
        [turntable(_NUM_AZIMUTHS, elevation, distance) for elevation in _ELEVATIONS_DEG]
    ).to(device)
    points = cell_points(resolution, device)
    band = _BAND * 2.0 / resolution
    total = torch.zeros(len(points), device=device)
    known = torch.zeros_like(total)
    for index in range(cameras.num):
        camera = cameras.select(slice(index, index + 1))
        views = render(camera, size, size)
        seen = torch.where(views.opacity[0, 0] >= _COVERED, views.depth[0, 0], torch.inf)
        poses = pinholes(camera, size, size)
        with full_precision(points):
            local = points @ poses.world_to_camera[0, :3, :3].T + poses.world_to_camera[0, :3, 3]
        depth = -local[:, 2]
        focal = poses.pinholes[0, 0]
        column = (focal * local[:, 0] / depth + 0.5 * size).floor().long()
        row = (0.5 * size - focal * local[:, 1] / depth).floor().long()
        inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
        place = row.clamp(0, size - 1) * size + column.clamp(0, size - 1)
        surface = torch.where(inside, seen.flatten()[place], torch.inf)
        behind = local.norm(dim=1) - surface
        knows = behind < band
        total += torch.where(knows, (behind / band).clamp(-1.0, 1.0), 0.0)
        known += knows
    field = torch.where(known > 0.0, total / known.clamp_min(1.0), 1.0)
    return field.view(resolution, resolution, resolution)
