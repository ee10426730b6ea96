"""Says how the two pulls on a particle are balanced in warm-up, and what would change it."""

from statistics import median
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from redream.method.module import ReDream

USUAL = 1.5
"""On the embedded world, where sigma was tuned: what this callback printed for configs/default.yaml
with one particle and no adapter, over its first 100 steps ("a golden elephant")."""


class PullRatio(Callback):
    """Prints, when warm-up ends, how hard Eq. 3 pulled the pictures against Eq. 2.

    Args:
        every_n_steps: Steps between looks, each of which waits for the GPU.
    """

    def __init__(self, every_n_steps: int = 5) -> None:
        if every_n_steps < 1:
            raise ValueError(f"PullRatio: every_n_steps must be positive, got {every_n_steps}")
        self.every_n_steps = every_n_steps
        self.ratios: list[float] = []

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        *_: Any,  # noqa: ANN401
    ) -> None:
        """Looks at a step of warm-up, and prints after its last one."""
        assert isinstance(pl_module, ReDream)
        made, end = trainer.global_step, pl_module.warmup.steps
        ratio = pl_module.pulls.take_ratio()
        if ratio is not None and made % self.every_n_steps == 0:
            self.ratios.append(float(ratio))
        if made == end:
            trainer.print(self.verdict(pl_module.warmup.sigma))

    def verdict(self, sigma: float) -> str:
        """The line that is printed.

        Args:
            sigma: The run's own.
        """
        finite = [ratio for ratio in self.ratios if ratio < float("inf")]
        if not finite:
            return "warm-up: Eq. 2 did not pull at all, so there is no ratio of the pulls"
        found = median(finite)
        alike = sigma * (found / USUAL) ** 0.5
        return (
            f"warm-up: Eq. 3 pulled {found:.3g} times as hard as Eq. 2 (median of {len(finite)} "
            f"steps); where sigma was tuned it was {USUAL:.3g}, which --model.warmup.sigma "
            f"{alike:.2g} would give here"
        )
