"""How far rays see into a field: its density front to back, ray by ray, in one kernel for CPUs.

A CPU has no need of many points at once. So each ray asks for its own samples, a few at a time,
until nothing more can be seen, and no list of the rays that go on is kept.
"""

# ruff: noqa: UP018  (float(0.0) is how Warp declares a variable)
from typing import NamedTuple, no_type_check

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from redream.kernels.hash_grid import HashGrid, encode_level
from redream.kernels.launch import launch
from redream.kernels.march import Samples
from redream.kernels.perceptron import Packed, perceptron_outputs

wp.set_module_options({"enable_backward": False})


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
    positions: wp.array[wp.vec3],
    units: wp.array[wp.vec3],
    t_start: wp.array[float],
    t_end: wp.array[float],
    offsets: wp.array[int],
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
    encoded: wp.array[float],
    density: wp.array[float],
) -> None:
    ray = wp.tid()
    last = offsets[ray + 1]
    begin = offsets[ray]
    depth = float(0.0)  # optical
    while begin < last and depth < ended:
        end = wp.min(begin + ahead, last)
        for level in range(levels.shape[0]):
            encode_level(units, table, levels, encoded, level, begin, end)
        num_inputs = 2 * levels.shape[0]
        perceptron_outputs(encoded, weights, bias, num_inputs, 1, num_blocks, density, begin, end)
        for j in range(begin, end):
            blob = blob_scale * (1.0 - wp.length(positions[j]) / blob_radius)
            found = _softplus(pivot + sharpness * (density[j] + blob - pivot))
            density[j] = found
            depth += found * (t_end[j] - t_start[j])
        begin = end
    for j in range(begin, last):
        density[j] = 0.0


@torch.no_grad()
def look(
    samples: Samples, grid: HashGrid, packed: Packed, shape: Shape, ahead: int, ended: float
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N F"]]:
    """The density of each sample, 0 where the ray ended before it, and its hash encoding.

    Args:
        samples: The samples of rays in the box [-1, 1]^3, on the CPU.
        grid: The hash encoding of the unit cube.
        packed: The perceptron from the encoding to the density.
        shape: What makes a density of its output.
        ahead: Samples of a ray that are asked for before it is seen whether the ray goes on.
        ended: Optical depth at which a ray has ended.

    Returns:
        Densities per world unit, and encodings, which are undefined where a ray had ended.
    """
    num = len(samples.positions)
    density = samples.positions.new_empty(num)
    encoded = samples.positions.new_empty(num, grid.num_features)
    launch(
        _look_kernel,
        len(samples.offsets) - 1,
        samples.positions,
        0.5 * samples.positions + 0.5,
        samples.t_start,
        samples.t_end,
        samples.offsets,
        grid.table,
        grid.levels,
        packed.weights.view(-1),
        packed.bias,
        len(packed.weights),
        *shape,
        ahead,
        ended,
        encoded.view(-1),
        density,
    )
    return density, encoded
