"""Alpha compositing of packed samples along rays, forward and backward (NeRF, Eq. 3).

Sample ``j`` of a ray has opacity ``alpha_j = 1 - exp(-density_j (t_end_j - t_start_j))`` and is
seen through the transmittance ``T_j = prod_{k<j} (1 - alpha_k)``; its weight is ``T_j alpha_j``.
A ray ends where its transmittance falls below 1e-4: what lies behind has weight 0.
"""

# ruff: noqa: UP018  (float(0.0) is how Warp declares a variable)
from typing import Any, NamedTuple, no_type_check

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from redream.kernels.launch import launch
from redream.kernels.march import Samples

wp.set_module_options({"enable_backward": False})

MIN_TRANSMITTANCE = 1e-4
_MIN_TRANSMITTANCE = wp.constant(MIN_TRANSMITTANCE)


class Composite(NamedTuple):
    """What ``R`` rays see.

    Attributes:
        features: Weighted sum of the samples' features.
        opacity: Sum of the weights.
        depth: Weighted sum of the samples' middles; divide by the opacity for the mean.
        weights: The samples' weights.
    """

    features: Float[Tensor, "R C"]
    opacity: Float[Tensor, " R"]
    depth: Float[Tensor, " R"]
    weights: Float[Tensor, " N"]


@wp.kernel
@no_type_check
def _transmittance_kernel(
    density: wp.array[float],
    t_start: wp.array[float],
    t_end: wp.array[float],
    offsets: wp.array[int],
    transmittance: wp.array[float],
) -> None:
    ray = wp.tid()
    left = float(1.0)
    for j in range(offsets[ray], offsets[ray + 1]):
        if left < _MIN_TRANSMITTANCE:
            left = 0.0
        transmittance[j] = left
        left *= wp.exp(-density[j] * (t_end[j] - t_start[j]))


@wp.kernel
@no_type_check
def _composite_kernel(
    density: wp.array[float],
    features: wp.array2d[float],
    t_start: wp.array[float],
    t_end: wp.array[float],
    offsets: wp.array[int],
    transmittance: wp.array[float],
    ray_features: wp.array2d[float],
    opacity: wp.array[float],
    depth: wp.array[float],
    weights: wp.array[float],
) -> None:
    ray = wp.tid()
    total = float(0.0)
    distance = float(0.0)
    for j in range(offsets[ray], offsets[ray + 1]):
        length = t_end[j] - t_start[j]
        weight = transmittance[j] * (1.0 - wp.exp(-density[j] * length))
        weights[j] = weight
        total += weight
        distance += weight * (t_start[j] + 0.5 * length)
        for c in range(features.shape[1]):
            ray_features[ray, c] = ray_features[ray, c] + weight * features[j, c]
    opacity[ray] = total
    depth[ray] = distance


@wp.kernel
@no_type_check
def _composite_backward_kernel(
    density: wp.array[float],
    features: wp.array2d[float],
    t_start: wp.array[float],
    t_end: wp.array[float],
    offsets: wp.array[int],
    transmittance: wp.array[float],
    ray_features_grad: wp.array2d[float],
    opacity_grad: wp.array[float],
    depth_grad: wp.array[float],
    weights_grad: wp.array[float],
    density_grad: wp.array[float],
    features_grad: wp.array2d[float],
) -> None:
    ray = wp.tid()
    first = offsets[ray]
    num = offsets[ray + 1] - first
    behind = float(0.0)  # sum over the samples behind of weight * d loss / d weight
    for k in range(num):
        j = first + num - 1 - k
        length = t_end[j] - t_start[j]
        through = wp.exp(-density[j] * length)
        weight = transmittance[j] * (1.0 - through)
        slope = weights_grad[j] + opacity_grad[ray]
        slope += depth_grad[ray] * (t_start[j] + 0.5 * length)
        for c in range(features.shape[1]):
            slope += ray_features_grad[ray, c] * features[j, c]
            features_grad[j, c] = weight * ray_features_grad[ray, c]
        if transmittance[j] > 0.0:
            density_grad[j] = length * (transmittance[j] * through * slope - behind)
        else:
            density_grad[j] = 0.0
        behind += weight * slope


class _CompositeFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        density: Tensor,
        features: Tensor,
        t_start: Tensor,
        t_end: Tensor,
        offsets: Tensor,
    ) -> tuple[Tensor, ...]:
        num_rays, num_channels = offsets.shape[0] - 1, features.shape[1]
        inputs = (density.contiguous(), features.contiguous(), t_start, t_end, offsets)
        seen = transmittance(density, t_start, t_end, offsets)
        outputs = (
            features.new_zeros(num_rays, num_channels),
            density.new_empty(num_rays),
            density.new_empty(num_rays),
            torch.empty_like(density),
        )
        launch(_composite_kernel, num_rays, *inputs, seen, *outputs)
        ctx.save_for_backward(*inputs, seen)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        density, features, t_start, t_end, offsets, seen = ctx.saved_tensors
        density_grad, features_grad = torch.empty_like(density), torch.empty_like(features)
        launch(
            _composite_backward_kernel,
            offsets.shape[0] - 1,
            *(density, features, t_start, t_end, offsets, seen),
            *(grad.contiguous() for grad in grads),
            density_grad,
            features_grad,
        )
        return density_grad, features_grad, None, None, None


def transmittance(
    density: Float[Tensor, " N"],
    t_start: Float[Tensor, " N"],
    t_end: Float[Tensor, " N"],
    offsets: Tensor,
) -> Float[Tensor, " N"]:
    """Transmittance at the near end of each sample, 0 once it is below 1e-4; no gradients."""
    seen = torch.empty_like(density, memory_format=torch.contiguous_format)
    num_rays = offsets.shape[0] - 1
    launch(_transmittance_kernel, num_rays, density.contiguous(), t_start, t_end, offsets, seen)
    return seen


def composite(
    density: Float[Tensor, " N"], features: Float[Tensor, "N C"], samples: Samples
) -> Composite:
    """Composites packed samples.

    Args:
        density: Non-negative density of each sample, per world unit (float32).
        features: Any channels of each sample: colours, normals, ... (``C`` may be 0).
        samples: The samples.

    Returns:
        What the rays see; differentiable once with respect to density and features, through all
        four outputs.
    """
    return Composite(
        *_CompositeFunction.apply(
            density, features, samples.t_start, samples.t_end, samples.offsets
        )
    )


def composite_reference(
    density: Float[Tensor, " N"], features: Float[Tensor, "N C"], samples: Samples
) -> Composite:
    """The same as :func:`composite` in plain PyTorch, in the precision of its arguments."""
    offsets = samples.offsets.long()
    counts = offsets[1:] - offsets[:-1]
    num_rays, longest = len(counts), int(counts.max()) if len(counts) else 0
    ray = samples.ray_index.long()
    place = torch.arange(len(ray), device=ray.device) - offsets[ray]
    optical = density * (samples.t_end - samples.t_start)
    padded = density.new_zeros(num_rays, longest).index_put((ray, place), optical)
    before = torch.exp(-(padded.cumsum(1) - padded))[ray, place]
    before = torch.where(before < MIN_TRANSMITTANCE, 0.0, before)
    weights = before * (1.0 - torch.exp(-optical))
    middle = 0.5 * (samples.t_start + samples.t_end)

    def gather(values: Tensor) -> Tensor:
        out = values.new_zeros(num_rays, *values.shape[1:])
        return out.index_add(0, ray, values)

    return Composite(
        gather(weights[:, None] * features), gather(weights), gather(weights * middle), weights
    )
