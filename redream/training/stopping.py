"""Leaving between two steps, with a checkpoint, once one of the processes was asked to.

What was made so far is exported by ``redream predict``: an export takes longer than a scheduler
waits between the signal that asks and the one that kills.
"""

import signal
import sys
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from redream.signals import Stopped, are_answered, asked_to_stop, take_signals, wait_for_steps
from redream.training.checkpoints import save_last_step
from redream.training.parallel import ParticleParallel


class StopBetweenSteps(Callback):
    """Makes signals wait for the end of a step; then all processes save and leave together."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From now on signals wait; Lightning has put its own handlers in between."""
        if are_answered():
            take_signals()
            wait_for_steps(True)

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Leaves where one of the processes was asked to."""
        self._leave_if_asked(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves before the export, if it was asked for in the last step."""
        wait_for_steps(False)
        self._leave_if_asked(trainer)

    def _leave_if_asked(self, trainer: Trainer) -> None:
        number = asked_to_stop()
        if not trainer.strategy.reduce_boolean_decision(number is not None, all=False):
            return
        if isinstance(trainer.strategy, ParticleParallel):
            trainer.strategy.stops_together = True
        path = _save(trainer)
        number = number or signal.SIGTERM  # another process was asked
        if trainer.is_global_zero:
            print(
                f"redream: stopped by {signal.Signals(number).name} after step "
                f"{trainer.global_step}: `--ckpt_path {path}` goes on, and `redream predict "
                f"--ckpt_path {path}` exports what there is",
                file=sys.stderr,
            )
        raise Stopped(number)


def _save(trainer: Trainer) -> Path:
    """Saves the step that has ended, where it is not saved yet; the file."""
    found = trainer.checkpoint_callbacks
    savers = [each for each in found if isinstance(each, ModelCheckpoint) and each.save_last]
    if savers:
        save_last_step(trainer)
        return Path(savers[0].last_model_path)
    path = Path(trainer.default_root_dir, "checkpoints", "last.ckpt")
    trainer.save_checkpoint(path)
    return path
