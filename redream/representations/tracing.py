"""What a render of a radiance field looks at, keeps and remembers, and how much of it at once.

A render has two passes. The first, without gradients, asks the density of every sample in occupied
cells and keeps those that count; it goes through rays in parts. The second computes what the kept
samples show; what the first has computed of them is handed on. Where they are many it goes in parts
as well, and computes each part again in the backward pass, so that memory holds one part's
activations instead of all (as the deferred back-propagation of ARF; Zhang et al., 2022).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from redream.kernels.composite import MIN_TRANSMITTANCE, Composite, transmittance
from redream.kernels.march import March, Samples, march
from redream.kernels.occupancy import Density, OccupancyGrid

_LOOKED_AT = 2**21
"""Samples that a part of the first pass may have: 1.4 GB where every cell is occupied."""

AHEAD = 8
"""Samples of a ray that are asked for at once, before it is seen whether the ray goes on."""

ENDED = -math.log(0.5 * MIN_TRANSMITTANCE)
"""Optical depth at which a ray has ended, beyond the rounding of the kernel that composites."""

_KEPT_BYTES, _WAITING_BYTES, _FOG = 900, 36, 0.1
"""Bytes of a kept sample with its activations (16 levels, 64 hidden channels), and of one that
waits for its part's turn; the share of samples along the diameter that a ray keeps in fog. Measured
by ``benchmarks/memory.py``."""

See = Callable[[Samples, Float[Tensor, " R"], Tensor | None], Composite]


class Visible(NamedTuple):
    """Samples that count, and what has been computed of them already."""

    samples: Samples
    encoded: Float[Tensor, "N F"] | None


Look = Callable[[March, Float[Tensor, ""]], Visible]
"""What finds the samples of rays that count: as :func:`look`, but for the density."""


def rays_at_once(length: float, radius: float) -> int:
    """Rays that march through the ball of a radius with few enough samples of a length."""
    return max(1, int(_LOOKED_AT * length / (2.0 * radius)))


def bytes_in_fog(num_samples: float, samples_at_once: int) -> int:
    """Bytes that a render of a foggy field holds for the backward pass.

    Args:
        num_samples: Of the pixels' rays, each along the scene's diameter.
        samples_at_once: How many may be remembered at once.
    """
    kept = int(_FOG * num_samples)
    if kept <= samples_at_once:
        return _KEPT_BYTES * kept
    return _KEPT_BYTES * samples_at_once + _WAITING_BYTES * kept


@torch.no_grad()
def visible_samples(
    look: Look,
    occupancy: OccupancyGrid,
    origins: Float[Tensor, "R 3"],
    directions: Float[Tensor, "R 3"],
    jitter: Float[Tensor, " R"],
    length: float,
    radius: float,
    alpha_threshold: float,
) -> Visible:
    """Samples in occupied cells that no matter hides and that are not too faint.

    Args:
        look: Finds the samples that count along rays.
        occupancy: The cells that are marched through.
        origins: Starting points of rays.
        directions: Unit directions.
        jitter: Shift of each ray's samples, in [0, 1) lengths.
        length: Length of a sample in world units.
        radius: Of the ball that is marched through.
        alpha_threshold: Opacity below which a sample is dropped; the mean optical depth of a
            sample in all cells where that is lower (as nerfacc does), so that fog stays.

    Returns:
        The samples; only those see gradients.
    """
    size, parts = rays_at_once(length, radius), []
    faint = (occupancy.density.mean() * length).clamp_max(alpha_threshold)
    least = -torch.log1p(-faint) / length  # the density that has this opacity
    for start, direction, shift in zip(
        origins.split(size), directions.split(size), jitter.split(size), strict=True
    ):
        rays = March(start, direction, occupancy.occupied, length, shift, radius)
        parts.append(look(rays, least))
    return parts[0] if len(parts) == 1 else _joined(parts)


@torch.no_grad()
def look(density: Density, rays: March, least: Float[Tensor, ""]) -> Visible:
    """The samples of rays that no matter hides and that are not too faint.

    Args:
        density: Of points, per world unit.
        rays: Rays, and what they march through.
        least: Density below which a sample is dropped.
    """
    samples = march(*rays)
    found = front_to_back(density, samples)
    seen = transmittance(found, samples.t_start, samples.t_end, samples.offsets)
    kept = (seen > 0.0) & ~(found < least)  # what is no number stays, to be seen
    return Visible(samples if bool(kept.all()) else samples.keep(kept), None)


@torch.no_grad()
def finer(occupancy: OccupancyGrid, density: Density) -> OccupancyGrid:
    """A grid of cells half as long for a scene that no longer changes, each looked at once.

    Args:
        occupancy: The grid of the training; what it has as empty stays so.
        density: Of points, per world unit.
    """
    coarse = occupancy.occupied
    fine = OccupancyGrid(2 * len(coarse), occupancy.threshold).to(coarse.device)
    fine.refresh(density)
    for axis in range(3):
        coarse = coarse.repeat_interleave(2, axis)
    both = fine.occupied & coarse
    fine.occupied.copy_(both if bool(both.any()) else coarse)
    return fine


def front_to_back(density: Density, samples: Samples) -> Float[Tensor, " N"]:
    """The density of each sample, 0 where the ray ended far before it.

    A ray's samples are asked for some at a time, nearest first, until nothing more can be seen: in
    a field with a surface most samples lie behind it. Where the transmittance is below 1e-4 a
    sample has no weight whatever its density (see :mod:`redream.kernels.composite`); a ray ends
    here at half of that, so that rounding decides nothing.

    Args:
        density: Of points, per world unit.
        samples: The samples of rays.
    """
    found = samples.positions.new_zeros(len(samples.positions))
    ray = samples.ray_index.long()
    number = torch.arange(len(found), device=found.device) - samples.offsets[ray]
    depth = found.new_zeros(len(samples.offsets) - 1)  # optical
    waiting = torch.arange(len(found), device=found.device)
    begin = 0
    while len(waiting) > 0:
        begin += AHEAD
        now = number[waiting] < begin
        rows = waiting[now]
        found[rows] = density(samples.positions[rows])
        length = samples.t_end[rows] - samples.t_start[rows]
        depth.index_add_(0, ray[rows], found[rows] * length)
        waiting = waiting[~now]
        waiting = waiting[depth[ray[waiting]] < ENDED]
    return found


def composite_in_parts(
    see: See, visible: Visible, nearest: Float[Tensor, " R"], samples_at_once: int
) -> Composite:
    """What samples show; where gradients are wanted of many, part by part.

    Args:
        see: Composites the samples of some rays, given these rays' part of ``nearest`` and what is
            known of the samples; in parts nothing is, so that little waits.
        visible: The samples.
        nearest: A number of each ray.
        samples_at_once: How many may be remembered at once for the backward pass, but for the
            last ray of a part.

    Returns:
        What the rays see.
    """
    samples = visible.samples
    num = len(samples.positions)
    if num <= samples_at_once or not torch.is_grad_enabled():
        return see(samples, nearest, visible.encoded)
    marks = torch.arange(samples_at_once, num, samples_at_once, device=samples.offsets.device)
    cuts = torch.searchsorted(samples.offsets.long(), marks)
    cuts = torch.cat([cuts.new_zeros(1), cuts, cuts.new_full((1,), len(nearest))]).unique()
    rays, rows = torch.stack([cuts, samples.offsets[cuts].long()]).tolist()
    parts = []
    for first, last, begin, end in zip(rays, rays[1:], rows, rows[1:], strict=False):
        part = Samples(
            samples.positions[begin:end],
            samples.t_start[begin:end],
            samples.t_end[begin:end],
            samples.ray_index[begin:end] - first,
            samples.offsets[first : last + 1] - begin,
        )
        parts.append(
            checkpoint(
                see, part, nearest[first:last], None, use_reentrant=False, preserve_rng_state=False
            )
        )
    return Composite(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _joined(parts: list[Visible]) -> Visible:
    """The samples of rays, part after part."""
    rays = rows = 0
    offsets, index = [parts[0].samples.offsets[:1]], []
    for part, _ in parts:
        offsets.append(part.offsets[1:] + rows)
        index.append(part.ray_index + rays)
        rays, rows = rays + len(part.offsets) - 1, rows + len(part.positions)
    columns = zip(*(part.samples[:3] for part in parts), strict=True)
    positions, t_start, t_end = (torch.cat(column) for column in columns)
    samples = Samples(positions, t_start, t_end, torch.cat(index), torch.cat(offsets))
    known = [part.encoded for part in parts if part.encoded is not None]
    return Visible(samples, torch.cat(known) if len(known) == len(parts) else None)
