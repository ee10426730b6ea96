"""Where a run is, as a small file: for whoever watches it from another process."""

import math
import time
from pathlib import Path
from typing import Any, Literal

import lightning as L
from lightning.pytorch.callbacks import Callback

from redream.callbacks.progress import Part, seconds_left
from redream.errors import first_line
from redream.export.report import write_json
from redream.method.seen import seen
from redream.signals import Stopped
from redream.status import STATUS

State = Literal["preparing", "training", "exporting", "finished", "stopped", "failed"]


class Status(Callback):
    """Writes ``status.json`` into the run's folder, whole each time; every run has one.

    Its keys: ``state`` (``preparing``, ``training``, ``exporting``, ``finished``, ``stopped``,
    ``failed``), ``stage`` (the module's, such as ``warm-up``), ``step`` of ``steps`` (null where
    the end is not known), ``seconds_left`` (null where nobody can tell), ``losses`` by name,
    ``error`` in one line, and ``time``, when it was written, in seconds since 1970.

    Args:
        every_seconds: Least time between two files: reading losses waits for a GPU.

    Attributes:
        part: Where this run is in a job of several; None where it is the whole job.
        folder: The job's folder; None where that is the run's.
    """

    part: Part | None = None
    folder: Path | None = None

    def __init__(self, every_seconds: float = 1.0) -> None:
        self.every_seconds = every_seconds
        self._written = 0.0
        self._first: tuple[float, int] | None = None  # when the first step ended, and which it was

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Says that the run has begun."""
        if stage == "fit":
            self._write(trainer, pl_module, "preparing")

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        *_: Any,  # noqa: ANN401
    ) -> None:
        """Says where the training is, not too often."""
        now = time.monotonic()
        if self._first is None:
            self._first = (now, trainer.global_step)
        if now - self._written >= self.every_seconds:
            self._write(trainer, pl_module, "training")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Says that what follows is the export."""
        self._write(trainer, pl_module, "exporting")

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Says that all is there; it comes after the callback that exports."""
        self._write(trainer, pl_module, "training" if self._is_followed(trainer) else "finished")

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Says that a checkpoint is exported."""
        self._write(trainer, pl_module, "exporting")

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Says that it has been."""
        self._write(trainer, pl_module, "finished")

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Says how it ended; a folder that holds nothing yet is left so, as nothing has begun."""
        folder = self._folder(trainer)
        held = folder.iterdir() if folder.is_dir() else ()
        if not self._written and all(each.name.startswith(".") for each in held):
            return
        if isinstance(exception, Stopped | KeyboardInterrupt):
            self._write(trainer, pl_module, "stopped")
        else:
            self._write(trainer, pl_module, "failed", first_line(exception))

    def _is_followed(self, trainer: L.Trainer) -> bool:
        total = None if self.part is None else self.part.total
        return total is not None and self._done(trainer) < total

    def _done(self, trainer: L.Trainer) -> int:
        return trainer.global_step + (0 if self.part is None else self.part.before)

    def _write(
        self, trainer: L.Trainer, pl_module: L.LightningModule, state: State, error: str = ""
    ) -> None:
        if not trainer.is_global_zero:
            return
        total = trainer.max_steps if trainer.max_steps > 0 else None
        stage, left = "", None
        if self.part is not None:
            total, stage = self.part.total, self.part.name
        if state == "training":
            now = seen(pl_module).stage
            stage, left = ": ".join(filter(None, (stage, now))), self._seconds_left(trainer, total)
        numbers = {name: float(value) for name, value in seen(pl_module).losses.items()}
        values = {
            "state": state,
            "stage": stage,
            "step": self._done(trainer),
            "steps": total,
            "seconds_left": left,
            "losses": {name: value for name, value in numbers.items() if math.isfinite(value)},
            "error": error,
            "time": round(time.time(), 3),
        }
        write_json(values, self._folder(trainer) / STATUS)
        self._written = time.monotonic()

    def _folder(self, trainer: L.Trainer) -> Path:
        return self.folder or Path(trainer.default_root_dir)

    def _seconds_left(self, trainer: L.Trainer, total: int | None) -> float | None:
        if self._first is None:
            return None
        before = 0 if self.part is None else self.part.before
        left = seconds_left(*self._first, trainer.global_step, before, total)
        return None if left is None else round(left, 1)
