"""Regularisers of a radiance field; each returns an unweighted scalar."""

from collections.abc import Callable
from typing import TypedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.schedules import Ramp


class NeRFPenalties(TypedDict, total=False):
    """Weights of a NeRF's regularisers, ramps by step."""

    sparsity: Ramp
    opacity: Ramp
    orientation: Ramp
    spread: Ramp


def of_rays(
    opacity: Float[Tensor, " R"], mean: Float[Tensor, " R"], square: Float[Tensor, " R"]
) -> dict[str, Callable[[], Tensor]]:
    """What computes the regularisers of rays, by name: ``sparsity``, ``opacity``, ``spread``.

    Args:
        opacity: Sum of the weights w of each ray.
        mean: Sum of w t.
        square: Sum of w t^2.
    """
    return {
        "sparsity": lambda: sparsity(opacity),
        "opacity": lambda: opacity_entropy(opacity),
        "spread": lambda: spread(opacity, mean, square),
    }


def sparsity(opacity: Float[Tensor, " R"]) -> Tensor:
    """Mean of sqrt(o^2 + 0.01) over rays: asks for empty pixels (DreamFusion's, in threestudio)."""
    return (opacity**2 + 0.01).sqrt().mean()


def opacity_entropy(opacity: Float[Tensor, " R"]) -> Tensor:
    """Mean binary entropy of the rays' opacity in nats: asks for all or nothing."""
    filled = opacity.clamp(1e-3, 1.0 - 1e-3)
    empty = 1.0 - filled  # written out: PyTorch's own raises at a NaN, on a GPU for good
    return -(filled * filled.log() + empty * empty.log()).mean()


def orientation(
    normals: Float[Tensor, "N 3"], directions: Float[Tensor, "N 3"], weights: Float[Tensor, " N"]
) -> Tensor:
    """Weighted mean of max(0, n.d)^2: visible matter faces the camera (Ref-NeRF, Eq. 11).

    Args:
        normals: Unit normals of samples.
        directions: Unit directions of their rays, away from the camera.
        weights: The samples' compositing weights; taken as constants.

    Returns:
        A scalar in [0, 1].
    """
    weights = weights.detach()
    facing_away = (normals * directions).sum(-1).clamp_min(0.0) ** 2
    return (weights * facing_away).sum() / weights.sum().clamp_min(1e-8)


def spread(
    opacity: Float[Tensor, " R"], mean: Float[Tensor, " R"], square: Float[Tensor, " R"]
) -> Tensor:
    """Mean over rays of the weighted variance of depth: keeps floaters off a ray's surface.

    It has the purpose of mip-NeRF 360's distortion loss and costs one composited channel.

    Args:
        opacity: Sum of the weights w of each ray.
        mean: Sum of w t.
        square: Sum of w t^2.

    Returns:
        A scalar: the mean over rays of sum w (t - sum(w t) / sum(w))^2.
    """
    return (square - mean**2 / opacity.clamp_min(1e-6)).clamp_min(0.0).mean()


def draw_by_weight(
    weights: Float[Tensor, " N"], num: int, generator: torch.Generator
) -> Int[Tensor, " M"]:
    """Draws samples in proportion to their weights, with replacement.

    Args:
        weights: Of one sample or more, not negative.
        num: How many to draw.
        generator: The source of randomness, on the device of the weights.

    Returns:
        Their indices.
    """
    heaped = weights.double().cumsum(0)
    places = torch.rand(num, generator=generator, device=weights.device)
    chosen: Tensor = torch.searchsorted(heaped, places.double() * heaped[-1])
    return chosen.clamp_max(len(weights) - 1)
