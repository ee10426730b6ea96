"""Colours for a texture, from what a soft particle shows of its surface from all around."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from redream.cameras import orbit
from redream.export.turntable import render_views
from redream.kernels.raycast import RayCaster
from redream.representations.base import Representation
from redream.types import Cameras

_NUM_CAMERAS = 32
_POINTS_AT_ONCE = 1 << 18
_SLACK = 0.01  # of the world's unit, by which the surface may hide its own points
_GRAZING = 0.05  # cosine below which a view sees nothing of a point


def baking_cameras(distance: float = 3.0, fovy_deg: float = 40.0) -> Cameras:
    """Cameras spread evenly over the sphere, the poles left out (a Fibonacci spiral)."""
    number = torch.arange(_NUM_CAMERAS)
    height = 0.95 * (1.0 - (2.0 * number + 1.0) / _NUM_CAMERAS)
    azimuth = number * math.degrees(math.pi * (3.0 - math.sqrt(5.0)))
    ones = torch.ones(_NUM_CAMERAS)
    return orbit(azimuth, torch.rad2deg(torch.asin(height)), ones * distance, ones * fovy_deg)


@torch.no_grad()
def shown_colors(
    particle: Representation,
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"],
    size: int,
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, " N"]]:
    """Means over the views of a particle that see a surface point, straight views first.

    A soft field shows at a point of its surface a mixture of what lies around; colours taken from
    its renders are the ones that it shows.

    Args:
        particle: The scene theta; its training mode is restored afterwards.
        vertices: The surface, which hides some of its points from a view.
        faces: Corner indices.
        points: Points on the surface.
        normals: Unit normals there.
        size: Height and width of the views in pixels.

    Returns:
        Colours in [0, 1], and the weights that were summed: 0 where no view sees a point.
    """
    cameras = baking_cameras()
    caster = RayCaster(vertices, faces)
    total, weights = torch.zeros_like(points), points.new_zeros(len(points))
    for i, views in enumerate(render_views(particle, cameras, size)):
        camera = cameras.select(slice(i, i + 1))
        picture = torch.cat([views.rgb, views.opacity], dim=1).float().cpu()
        for part in torch.split(torch.arange(len(points)), _POINTS_AT_ONCE):
            seen, weight, place = _seen(caster, camera, points[part], normals[part])
            # Premultiplied colours are mixed, then divided: nothing bleeds in from outside.
            sampled = functional.grid_sample(picture, place[None, None], align_corners=False)
            rgb, opacity = sampled[0, :, 0].T.split([3, 1], dim=1)
            weight = weight * opacity[:, 0] ** 2
            color = (rgb / opacity.clamp_min(1e-3)).clamp(0.0, 1.0)
            total[part[seen]] += weight[:, None] * color
            weights[part[seen]] += weight
    return total / weights.clamp_min(1e-8)[:, None], weights


def _seen(
    caster: RayCaster,
    camera: Cameras,
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"],
) -> tuple[Int[Tensor, " M"], Float[Tensor, " M"], Float[Tensor, "M 2"]]:
    """Which points a camera sees, how straight, and where: -1 to 1 across and down the picture."""
    position = camera.c2w[0, :3, 3]
    away = points - position
    distance = away.norm(dim=-1)
    cosine = -(away * normals).sum(-1) / distance
    ahead = (cosine > _GRAZING).nonzero()[:, 0]
    away, distance = away[ahead], distance[ahead]
    towards = away / distance[:, None]
    clear = ~caster.blocked(position.expand(len(ahead), 3), towards, distance - _SLACK)
    in_camera = away[clear] @ camera.c2w[0, :3, :3]
    scale = 1.0 / torch.tan(torch.deg2rad(camera.fovy_deg[0]) / 2.0)
    place = scale * in_camera[:, :2] * points.new_tensor([1.0, -1.0]) / -in_camera[:, 2:]
    seen = ahead[clear]
    return seen, cosine[seen], place
