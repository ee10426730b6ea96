"""Going back through a part of the graph at once, so that what it remembers is free for others."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def backward_now(loss: Float[Tensor, ""], inputs: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Computes a loss's gradients now; what lies between the inputs and it is forgotten.

    Args:
        loss: A scalar.
        inputs: All that it depends on and that learns from it.

    Returns:
        The same value, whose backward pass hands the inputs what was computed.
    """
    gradients = torch.autograd.grad(loss, list(inputs))
    known: Tensor = _Known.apply(loss.detach(), *inputs, *gradients)
    return known


class _Known(torch.autograd.Function):
    """A scalar whose gradients are known."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, *both: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(*both[len(both) // 2 :])
        return value.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        gradients = ctx.saved_tensors
        return None, *(upstream * each for each in gradients), *(None for _ in gradients)
