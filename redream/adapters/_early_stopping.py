"""When to stop adapting the prior: before the assets' look bleeds into it."""

from typing import Any

from torch import nn


class EarlyStopping(nn.Module):
    """Stops after a budget of steps, or once a held-out loss no longer falls.

    Its state travels with the checkpoint.

    Args:
        max_steps: Steps to train at most; None for no budget.
        patience: Held-out losses in a row without improvement after which to stop; None to
            ignore them.
        min_improvement: Relative fall of the held-out loss that counts as improvement.

    Attributes:
        finished: Whether training is over, whatever the step.
    """

    def __init__(self, max_steps: int | None, patience: int | None, min_improvement: float) -> None:
        super().__init__()
        self.max_steps = max_steps
        self.patience = patience
        self.min_improvement = min_improvement
        self.best = float("inf")
        self.num_without_improvement = 0
        self.finished = False

    def stopped(self, step: int) -> bool:
        """Whether training is over at a step, counted from 0."""
        if self.finished:
            return True
        if self.max_steps is not None and step >= self.max_steps:
            return True
        return self.patience is not None and self.num_without_improvement >= self.patience

    def observe(self, held_out_loss: float) -> None:
        """Takes note of a held-out loss."""
        if held_out_loss < self.best * (1.0 - self.min_improvement):
            self.best = held_out_loss
            self.num_without_improvement = 0
        else:
            self.num_without_improvement += 1

    def get_extra_state(self) -> dict[str, float]:
        """What a checkpoint must remember."""
        return {
            "best": self.best,
            "num_without_improvement": self.num_without_improvement,
            "finished": self.finished,
        }

    def set_extra_state(self, state: Any) -> None:  # noqa: ANN401
        """Restores what a checkpoint remembered."""
        self.best = state["best"]
        self.num_without_improvement = int(state["num_without_improvement"])
        self.finished = bool(state.get("finished", False))  # earlier checkpoints lack it
