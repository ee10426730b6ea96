"""Which particles are this process's, and the little that processes tell each other."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

AVERAGED = frozenset({"variational", "adapter"})
"""Losses that are a mean over all rows; those of particles are sums."""


Value = TypeVar("Value")


class Processes(NamedTuple):
    """The processes that train together; by default there is one.

    Particle i belongs to process i mod ``num``, so that those which take turns are spread evenly.

    Attributes:
        rank: Which of them this is.
        num: How many there are.
    """

    rank: int = 0
    num: int = 1

    def own(self, particles: Iterable[int]) -> list[int]:
        """Those particles that this process trains."""
        return [index for index in particles if index % self.num == self.rank]

    def share(self, num_rows: int) -> slice:
        """This process's part of a batch; all of it where it cannot be cut into equal parts."""
        return slice(self.rank, None, self.num) if num_rows % self.num == 0 else slice(None)

    def total(self, values: Tensor) -> Tensor:
        """The sum over the processes, element by element."""
        if self.num > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def join_losses(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses of all processes as one process would have them, without gradients."""
        parts = [
            loss.detach() / (self.num if name in AVERAGED else 1) for name, loss in losses.items()
        ]
        return dict(zip(losses, self.total(torch.stack(parts)), strict=True))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces gradients by their mean over the processes, in one message.

        Args:
            parameters: The same in all processes; those without a gradient are without one in all.
        """
        gradients = [each.grad for each in parameters if each.grad is not None]
        if self.num == 1 or not gradients:
            return
        flat = self.total(torch.cat([each.flatten() for each in gradients])) / self.num
        sizes = [each.numel() for each in gradients]
        for gradient, part in zip(gradients, flat.split(sizes), strict=True):
            gradient.copy_(part.view_as(gradient))

    def tell_all(self, value: Any) -> list[Any]:  # noqa: ANN401
        """The values of all processes, in their order, in every process."""
        values = [value] * self.num
        if self.num > 1:
            dist.all_gather_object(values, value)
        return values

    def gather_own(self, kept: Mapping[str, Value]) -> dict[str, Value]:
        """What all processes keep of their own particles, in the first one.

        Args:
            kept: By the particles' numbers; of others' too, which may be old.
        """
        own = {key: value for key, value in kept.items() if self.own([int(key)])}
        told = self.tell_first(own)
        return {key: value for each in told for key, value in each.items()}

    def tell_first(self, value: Any) -> list[Any]:  # noqa: ANN401
        """The values of all processes in the first one; nothing in the others."""
        if self.num == 1:
            return [value]
        values = [None] * self.num if self.rank == 0 else None
        dist.gather_object(value, values)
        return values or []
