"""Gradients that fit into float16 on their way through a frozen network.

A loss that is a mean over 16,384 latents hands each of them a gradient of some 1e-5, of which
float16 keeps two digits and, a few layers further, none. bfloat16 has the range, and an eighth of
the precision in every score. So where a network is in float16 its gradients are multiplied on the
way in, such that the largest is about 1, and divided in float32 on every way out: weights of
adapters, texts, cameras, pictures. Factors are powers of two, which round nothing, and are computed
where the gradient is: nobody waits, and nobody has to set anything.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_SMALLEST = 2.0**-100  # gradients of 0 stay 0


class GradientScale:
    """The factor of one forward pass's gradients.

    Args:
        dtype: The network's precision; all but float16 need no factor.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.needed = dtype == torch.float16 and torch.is_grad_enabled()
        self._factor: Tensor | None = None

    def outward(self, answer: Tensor) -> Tensor:
        """The network's answer, in float32; its gradient chooses the factor and is multiplied."""
        if not self.needed:
            return answer
        scaled: Tensor = _OnTheWayBack.apply(answer, self.choose)
        return scaled

    def inward(self, given: Tensor) -> Tensor:
        """What the network is given, in float32; its gradient is divided."""
        if not self.needed:
            return given
        scaled: Tensor = _OnTheWayBack.apply(given, self.undo)
        return scaled

    def choose(self, gradient: Tensor) -> Tensor:
        """Multiplies the gradient that comes back to the answer."""
        largest = gradient.detach().abs().amax().float().clamp_min(_SMALLEST)
        self._factor = torch.exp2(-largest.log2().floor())
        return gradient * self._factor

    def undo(self, gradient: Tensor) -> Tensor:
        """Divides a gradient in float32."""
        return gradient if self._factor is None else gradient / self._factor


class _OnTheWayBack(torch.autograd.Function):
    """A tensor as it is, whose gradient is changed."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:  # noqa: ANN401
        ctx.change = change
        return given.view_as(given)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return ctx.change(gradient), None
