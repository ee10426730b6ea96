"""How a prior's networks are run: less memory or less time for the same answers."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils.checkpoint import checkpoint

from redream.priors._routing import Routing


class Recomputed:
    """Runs a block without keeping its activations; the backward pass computes them again.

    That second computation must meet the rows of the first, whatever was scored in between.

    Args:
        routing: Which adapter each row is scored with.
    """

    def __init__(self, routing: Routing) -> None:
        self.routing = routing

    def __call__(self, block: Callable[..., Tensor], *arguments: Any) -> Tensor:  # noqa: ANN401
        """The block's answer."""
        rows = self.routing.rows

        def run(*arguments: Any) -> Tensor:  # noqa: ANN401
            with self.routing.route(rows):
                return block(*arguments)

        answer: Tensor = checkpoint(run, *arguments, use_reentrant=False)
        return answer
