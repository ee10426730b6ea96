"""Going back through a part of the graph at once, so that what it remembers is free for others."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from redream.losses import sum_of


def backward_now(losses: dict[str, Tensor], inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """Computes a sum's gradients now; what lies between the inputs and it is forgotten.

    Args:
        losses: Scalars by name.
        inputs: All that they depend on and that learns from them.

    Returns:
        The same values; the first one's backward pass hands the inputs the whole sum's gradients.
    """
    gradients = torch.autograd.grad(sum_of(losses.values()), list(inputs))
    values = {name: each.detach() for name, each in losses.items()}
    first = next(iter(values))
    known: Tensor = _Known.apply(values[first], *inputs, *gradients)
    return values | {first: known}


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
