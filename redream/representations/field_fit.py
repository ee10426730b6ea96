"""A radiance field that learns a given surface by heart, before it is distilled."""

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn.functional import mse_loss, normalize

from redream.kernels.distance import signed_distance
from redream.meshes.triangles import is_closed
from redream.representations.base import Start
from redream.representations.field import Field

_BATCH = 4096
_EMPTY = -6.0  # before the softplus: a ray of length 2 through it has an opacity of half a percent
_NUM_UNIFORM = 2**15


def fit_field(
    field: Field, start: Start, step_length: float, num_steps: int, generator: torch.Generator
) -> None:
    """Learns density and colour from a surface, by Adam.

    Inside, a sample of a ray has an opacity of 0.63; within a step outside that falls to nothing. A
    surface that encloses nothing (a sheet, an open mesh) is given a thickness of one step.

    Args:
        field: The field.
        start: The surface.
        step_length: Distance of a ray's samples, in world units.
        num_steps: Steps, each on 4096 points: half of them around the surface.
        generator: The source of randomness, on the CPU.
    """
    shown = _shown(start, 0.25 * step_length, generator)
    surface, colors = start.points[shown], start.colors[shown]
    near = surface + step_length * torch.randn(surface.shape, generator=generator)
    far = 2.0 * torch.rand(_NUM_UNIFORM, 3, generator=generator) - 1.0
    points = torch.cat([near, far]).clamp(-1.0, 1.0)
    distance = signed_distance(start.vertices, start.faces, points)
    if not is_closed(start.vertices, start.faces):
        distance = torch.maximum(distance, 0.5 * step_length - distance.abs())
    solid = 1.0 / step_length
    raw = torch.lerp(
        torch.tensor(_EMPTY), torch.tensor(solid), (1.0 + distance / step_length).clamp(0.0, 1.0)
    )
    like = next(field.parameters())
    points, raw, colors = points.to(like), raw.to(like), colors.to(like)
    optimizer = torch.optim.Adam(field.parameters(), lr=2e-2, betas=(0.9, 0.99), eps=1e-15)
    half = _BATCH // 2
    with torch.enable_grad():
        for _ in range(num_steps):
            close = torch.randint(len(near), (half,), generator=generator)
            wide = torch.randint(len(near), len(points), (half,), generator=generator)
            rows = torch.cat([close, wide])
            encoded = field.encode(points[rows])
            loss = mse_loss(field.raw_density(points[rows], encoded) / solid, raw[rows] / solid)
            loss = loss + mse_loss(field.color(encoded[:half]), colors[close])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    field.zero_grad()


def _shown(start: Start, step: float, generator: torch.Generator) -> Bool[Tensor, " N"]:
    """Which points lie on the outside: on one side of them, at least, there is no inside.

    Parts that stand inside one another have colours that nobody sees.
    """
    aside = step * normalize(torch.randn(start.points.shape, generator=generator), dim=-1)
    sides = [
        signed_distance(start.vertices, start.faces, start.points + sign * aside)
        for sign in (-1.0, 1.0)
    ]
    shown = torch.minimum(*sides) < 0.0
    return shown if bool(shown.any()) else torch.ones_like(shown)
