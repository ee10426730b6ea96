"""Gaussian splatting (Kerbl et al., 2023), forward and backward, on a CPU and on a GPU.

A pixel blends the splats of its tile from near to far. Splat ``i``, with its centre ``d`` away and
its conic ``C_i``, has opacity ``alpha_i = min(0.99, o_i exp(-d^T C_i d / 2))`` there and is seen
through ``T_i = prod_{k<i} (1 - alpha_k)``. What is beyond three standard deviations or fainter than
1/255 is not seen, and a pixel ends before the splat that would take its transmittance below 1e-4.

Both kernels walk the list near to far and decide alike; the backward pass takes what lies behind a
splat as the whole less what lies before. On a CPU sums go pixel by pixel in one thread and are
the same each time; on a GPU gradients are summed by atomics, in no fixed order.
"""

# ruff: noqa: UP018  (float(0.0) is how Warp declares a variable)
from typing import Any, NamedTuple, no_type_check

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from redream.kernels.launch import launch
from redream.kernels.splats_projection import (
    CUTOFF,
    MIN_ALPHA,
    NUM_FEATURES,
    Features,
    Footprints,
    Gaussians,
    project,
)
from redream.kernels.splats_tiles import Tiles, list_tiles, tile_size
from redream.types import Cameras

wp.set_module_options({"enable_backward": False})  # the backward kernel is written by hand

MAX_ALPHA = 0.99
MIN_TRANSMITTANCE = 1e-4

_FARTHEST = wp.constant(0.5 * CUTOFF * CUTOFF)
_MIN_ALPHA = wp.constant(MIN_ALPHA)
_MAX_ALPHA = wp.constant(MAX_ALPHA)
_MIN_TRANSMITTANCE = wp.constant(MIN_TRANSMITTANCE)


class Blend(NamedTuple):
    """What pixels see.

    Attributes:
        color: Premultiplied by opacity.
        opacity: In [0, 1].
        distance: Weighted sum of the splats' distances along the ray; divide by the opacity for
            the mean.
        normal: Weighted sum of the splats' shortest axes, turned toward the camera.
    """

    color: Float[Tensor, "B 3 H W"]
    opacity: Float[Tensor, "B 1 H W"]
    distance: Float[Tensor, "B 1 H W"]
    normal: Float[Tensor, "B 3 H W"]


@wp.func
@no_type_check
def _pixel(tile: int, k: int, size: int, rows: int, columns: int) -> wp.vec3i:
    """View, row and column of pixel ``k`` of a tile."""
    view = tile / (rows * columns)
    place = tile - view * rows * columns
    return wp.vec3i(view, (place / columns) * size + k / size, (place % columns) * size + k % size)


@wp.func
@no_type_check
def _alpha(away: wp.vec2, conic: wp.vec3, opacity: float) -> float:
    """Opacity of a splat at a pixel that is ``away`` from its centre; 0 where it is not seen."""
    far = 0.5 * (conic[0] * away[0] * away[0] + conic[2] * away[1] * away[1])
    far += conic[1] * away[0] * away[1]
    if far > _FARTHEST or far < 0.0:
        return 0.0
    alpha = wp.min(_MAX_ALPHA, opacity * wp.exp(-far))
    if alpha < _MIN_ALPHA:
        return 0.0
    return alpha


@wp.kernel
@no_type_check
def _blend_kernel(
    centres: wp.array[wp.vec2],
    conics: wp.array[wp.vec3],
    features: wp.array[Features],
    opacities: wp.array[float],
    splats: wp.array[int],
    offsets: wp.array[int],
    size: int,
    rows: int,
    columns: int,
    sums: wp.array3d[Features],
    left: wp.array3d[float],
) -> None:
    tile, k = wp.tid()
    pixel = _pixel(tile, k, size, rows, columns)
    if pixel[1] >= left.shape[1] or pixel[2] >= left.shape[2]:
        return
    place = wp.vec2(float(pixel[2]) + 0.5, float(pixel[1]) + 0.5)
    through = float(1.0)
    total = Features()
    for j in range(offsets[tile], offsets[tile + 1]):
        i = splats[j]
        alpha = _alpha(place - centres[i], conics[i], opacities[i % opacities.shape[0]])
        if alpha > 0.0:
            beyond = through * (1.0 - alpha)
            if beyond < _MIN_TRANSMITTANCE:
                break
            total += through * alpha * features[i]
            through = beyond
    sums[pixel[0], pixel[1], pixel[2]] = total
    left[pixel[0], pixel[1], pixel[2]] = through


@wp.kernel
@no_type_check
def _blend_backward_kernel(
    centres: wp.array[wp.vec2],
    conics: wp.array[wp.vec3],
    features: wp.array[Features],
    opacities: wp.array[float],
    splats: wp.array[int],
    offsets: wp.array[int],
    size: int,
    rows: int,
    columns: int,
    sums: wp.array3d[Features],
    left: wp.array3d[float],
    sums_grad: wp.array3d[Features],
    left_grad: wp.array3d[float],
    centres_grad: wp.array[wp.vec2],
    conics_grad: wp.array[wp.vec3],
    features_grad: wp.array[Features],
    opacities_grad: wp.array[float],
) -> None:
    tile, k = wp.tid()
    pixel = _pixel(tile, k, size, rows, columns)
    if pixel[1] >= left.shape[1] or pixel[2] >= left.shape[2]:
        return
    place = wp.vec2(float(pixel[2]) + 0.5, float(pixel[1]) + 0.5)
    slope = sums_grad[pixel[0], pixel[1], pixel[2]]
    behind = float(wp.dot(slope, sums[pixel[0], pixel[1], pixel[2]]))
    end = left[pixel[0], pixel[1], pixel[2]] * left_grad[pixel[0], pixel[1], pixel[2]]
    through = float(1.0)
    for j in range(offsets[tile], offsets[tile + 1]):
        i = splats[j]
        n = i % opacities.shape[0]
        away = place - centres[i]
        alpha = _alpha(away, conics[i], opacities[n])
        if alpha > 0.0:
            beyond = through * (1.0 - alpha)
            if beyond < _MIN_TRANSMITTANCE:
                break
            value = wp.dot(slope, features[i])
            behind -= through * alpha * value
            wp.atomic_add(features_grad, i, through * alpha * slope)
            if alpha < _MAX_ALPHA:
                far_grad = alpha * ((behind + end) / (1.0 - alpha) - through * value)
                wp.atomic_add(opacities_grad, n, -far_grad / opacities[n])
                c = conics[i]
                pull = wp.vec2(c[0] * away[0] + c[1] * away[1], c[2] * away[1] + c[1] * away[0])
                wp.atomic_add(centres_grad, i, -far_grad * pull)
                square = wp.vec3(
                    0.5 * away[0] * away[0], away[0] * away[1], 0.5 * away[1] * away[1]
                )
                wp.atomic_add(conics_grad, i, far_grad * square)
            through = beyond


class _BlendFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        centres: Tensor,
        conics: Tensor,
        features: Tensor,
        opacities: Tensor,
        tiles: Tiles,
        height: int,
        width: int,
    ) -> tuple[Tensor, Tensor]:
        num_views = len(centres)
        inputs = [x.flatten(0, 1).contiguous() for x in (centres, conics, features)]
        inputs.append(opacities.contiguous())
        sums = features.new_empty(num_views, height, width, NUM_FEATURES)
        left = features.new_empty(num_views, height, width)
        threads = (len(tiles.offsets) - 1, tiles.size**2)
        launch(_blend_kernel, threads, *inputs, *tiles, sums, left)
        ctx.save_for_backward(*inputs, tiles.splats, tiles.offsets, sums, left)
        ctx.threads, ctx.grid = threads, (tiles.size, tiles.rows, tiles.columns)
        return sums, left

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        *inputs, splats, offsets, sums, left = ctx.saved_tensors
        out = [torch.zeros_like(x) for x in inputs]
        slopes = [grad.contiguous() for grad in grads]
        lists = (splats, offsets, *ctx.grid)
        launch(_blend_backward_kernel, ctx.threads, *inputs, *lists, sums, left, *slopes, *out)
        shape = (len(sums), -1)
        return (*(x.unflatten(0, shape) for x in out[:3]), out[3], None, None, None)


def splat(splats: Gaussians, cameras: Cameras, height: int, width: int) -> Blend:
    """Renders splats.

    Args:
        splats: The splats (float32).
        cameras: ``B`` cameras on their device.
        height: Rows in pixels.
        width: Columns in pixels.

    Returns:
        What the pixels see, differentiable once with respect to every part of the splats.

    Raises:
        ValueError: If the number of harmonics belongs to no degree.
    """
    footprints = project(splats, cameras, height, width)
    return blend(footprints, splats.opacities, height, width)


def blend(
    footprints: Footprints,
    opacities: Float[Tensor, " N"],
    height: int,
    width: int,
    size: int | None = None,
) -> Blend:
    """Blends footprints; see :func:`splat`.

    Args:
        footprints: The splats in ``B`` pictures.
        opacities: Their opacities.
        height: Rows in pixels.
        width: Columns in pixels.
        size: Pixels along a tile; None takes what suits the device. It decides speed alone.

    Returns:
        What the pixels see.
    """
    size = size or tile_size(opacities.device)
    tiles = list_tiles(footprints, opacities.detach(), height, width, size)
    sums, left = _BlendFunction.apply(*footprints[:3], opacities, tiles, height, width)
    return as_pictures(sums, left)


def as_pictures(sums: Float[Tensor, "B H W 7"], left: Float[Tensor, "B H W"]) -> Blend:
    """Summed features and the transmittance left, as pictures."""
    planes = sums.permute(0, 3, 1, 2)
    return Blend(planes[:, :3], 1.0 - left[:, None], planes[:, 3:4], planes[:, 4:])
