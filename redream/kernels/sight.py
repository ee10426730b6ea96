"""How far rays see into a field: its samples that count, ray by ray, in one kernel for CPUs.

A CPU has no need of many points at once. So each ray asks for the density of its own samples, a few
at a time, until nothing more can be seen, and keeps those that count; what lies behind is neither
listed nor looked at.
"""

# ruff: noqa: UP018  (float(0.0) is how Warp declares a variable)
import math
from typing import NamedTuple, no_type_check

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from redream.kernels.composite import MIN_TRANSMITTANCE
from redream.kernels.hash_grid import HashGrid, encode_level
from redream.kernels.launch import launch
from redream.kernels.march import March, Samples, is_occupied, span
from redream.kernels.perceptron import Packed, perceptron_outputs

wp.set_module_options({"enable_backward": False})

_MIN_TRANSMITTANCE = wp.constant(MIN_TRANSMITTANCE)


class Shape(NamedTuple):
    """What turns a perceptron's output into density; see ``Field`` in the representations.

    Attributes:
        blob_scale: Height of the density's bias at the centre.
        blob_radius: Where the bias crosses zero.
        pivot: Density that ``sharpness`` leaves as it is.
        sharpness: How many times steeper density is.
    """

    blob_scale: float
    blob_radius: float
    pivot: float
    sharpness: float


@wp.func
@no_type_check
def _softplus(x: float) -> float:
    if x > 20.0:
        return x
    e = wp.exp(x)
    u = 1.0 + e
    if u == 1.0:
        return e
    return wp.log(u) * (e / (u - 1.0))  # log(1 + e) to the last digit (Kahan)


@wp.kernel
@no_type_check
def _look_kernel(
    origins: wp.array[wp.vec3],
    directions: wp.array[wp.vec3],
    jitter: wp.array[float],
    occupied: wp.array3d[wp.uint8],
    step: float,
    radius: float,
    table: wp.array[wp.vec2],
    levels: wp.array[wp.vec3i],
    weights: wp.array[float],
    bias: wp.array[float],
    num_blocks: int,
    blob_scale: float,
    blob_radius: float,
    pivot: float,
    sharpness: float,
    ahead: int,
    ended: float,
    least: float,
    units: wp.array[wp.vec3],
    density: wp.array[float],
    positions: wp.array[wp.vec3],
    t_start: wp.array[float],
    t_end: wp.array[float],
    ray_index: wp.array[int],
    encoded: wp.array[float],
    offsets: wp.array[int],
) -> None:
    num_features = 2 * levels.shape[0]
    begin = int(0)  # of the samples that wait; before it lie all that are kept
    for ray in range(origins.shape[0]):
        origin = origins[ray]
        direction = directions[ray]
        ends = span(origin, direction, radius)
        depth = float(0.0)  # optical
        left = float(1.0)  # transmittance
        i = int(0)
        start = ends[0] + jitter[ray] * step
        while start + 0.5 * step < ends[1] and depth < ended:
            end = begin
            while start + 0.5 * step < ends[1] and end < begin + ahead:
                middle = origin + (start + 0.5 * step) * direction
                if is_occupied(middle, occupied):
                    positions[end] = middle
                    units[end] = 0.5 * middle + wp.vec3(0.5, 0.5, 0.5)
                    t_start[end] = start
                    t_end[end] = start + step
                    end += 1
                i += 1
                start = ends[0] + (float(i) + jitter[ray]) * step
            for level in range(levels.shape[0]):
                encode_level(units, table, levels, encoded, level, begin, end)
            perceptron_outputs(
                encoded, weights, bias, num_features, 1, num_blocks, density, begin, end
            )
            kept = begin
            for j in range(begin, end):
                blob = blob_scale * (1.0 - wp.length(positions[j]) / blob_radius)
                found = _softplus(pivot + sharpness * (density[j] + blob - pivot))
                length = t_end[j] - t_start[j]
                depth += found * length
                if left < _MIN_TRANSMITTANCE:
                    left = 0.0
                if left > 0.0 and not found < least:  # what is no number stays, to be seen
                    if kept < j:
                        positions[kept] = positions[j]
                        t_start[kept] = t_start[j]
                        t_end[kept] = t_end[j]
                        for k in range(num_features):
                            encoded[kept * num_features + k] = encoded[j * num_features + k]
                    ray_index[kept] = ray
                    kept += 1
                left *= wp.exp(-found * length)
            begin = kept
        offsets[ray + 1] = begin


@torch.no_grad()
def look(
    rays: March,
    grid: HashGrid,
    packed: Packed,
    shape: Shape,
    ahead: int,
    ended: float,
    least: float,
) -> tuple[Samples, Float[Tensor, "N F"]]:
    """The samples in occupied cells that no matter hides, and their hash encodings.

    Args:
        rays: Rays on the CPU, and what they march through.
        grid: The hash encoding of the unit cube.
        packed: The perceptron from the encoding to the density.
        shape: What makes a density of its output.
        ahead: Samples of a ray that are asked for before it is seen whether the ray goes on.
        ended: Optical depth at which a ray has ended.
        least: Density per world unit below which a sample does not count.

    Returns:
        The samples and their encodings.
    """
    num, num_features = len(rays.origins), grid.num_features
    longest = int(2.0 * min(rays.radius, math.sqrt(3.0)) / rays.step) + 2
    most = num * longest + ahead  # of which what is never touched costs nothing
    kept = (
        torch.empty(most, 3),
        torch.empty(most),
        torch.empty(most),
        torch.empty(most, dtype=torch.int32),
    )
    encoded = torch.empty(most, num_features)
    offsets = torch.zeros(num + 1, dtype=torch.int32)
    launch(
        _look_kernel,
        1,  # a thread for all rays: the samples of each follow those of the one before
        rays.origins.float().contiguous(),
        rays.directions.float().contiguous(),
        rays.jitter.float().contiguous(),
        rays.occupied.to(torch.uint8).contiguous(),
        rays.step,
        rays.radius,
        grid.table,
        grid.levels,
        packed.weights.view(-1),
        packed.bias,
        len(packed.weights),
        *shape,
        ahead,
        ended,
        least,
        torch.empty(most, 3),
        torch.empty(most),
        *kept,
        encoded.view(-1),
        offsets,
    )
    found = int(offsets[-1])
    positions, t_start, t_end, index = (each[:found].clone() for each in kept)
    return Samples(positions, t_start, t_end, index, offsets), encoded[:found].clone()
