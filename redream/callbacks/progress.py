"""A progress bar that says the stage, the time left, and the losses."""

import time
from datetime import timedelta
from typing import Any, NamedTuple

import lightning as L
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from redream.method.seen import seen


class Part(NamedTuple):
    """Where a run is in a job of several.

    Attributes:
        name: Its name; empty where it is the whole job.
        before: Steps of the runs before it.
        total: Steps of all runs; None where the end is not known.
    """

    name: str
    before: int
    total: int | None


class Progress(ProgressBar):
    """One bar over all steps; where the output is no terminal, a line now and then.

    The stage is the module's ``stage``, for instance ``warm-up``; until the first step ends it is
    ``preparing``, since the kernels compile then.

    Args:
        num_lines: How many lines a whole job prints where the output is no terminal.

    Attributes:
        part: Where this run is in a job of several; None where it is the whole job.
    """

    part: Part | None = None

    def __init__(self, num_lines: int = 20) -> None:
        super().__init__()
        if num_lines < 1:
            raise ValueError(f"num_lines must be at least 1, got {num_lines}.")
        self.num_lines = num_lines
        self.console = Console(stderr=True)
        self._bar: RichProgress | None = None
        self._enabled = True
        self._start = (0.0, 0)  # when the first step ended, and which it was
        self._losses = set[str]()  # the names of all that there were

    def disable(self) -> None:
        """Shows nothing from now on (Lightning's call on every rank but the first)."""
        self._enabled = False

    def enable(self) -> None:
        """Shows progress again."""
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Prints above the bar."""
        if self._enabled:
            self.console.print(*args, **kwargs)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Opens the bar."""
        self._start, self._shown = (0.0, -1), 0.0
        if not self._enabled:
            return
        if not self.console.is_terminal:
            self.print("preparing: the first step compiles the kernels", highlight=False)
            return
        self._bar = RichProgress(
            TextColumn("[bold]{task.description:<16}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]ETA"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[losses]}"),
            console=self.console,
            transient=self._is_followed(trainer),
            refresh_per_second=4,
            speed_estimate_period=60.0,
        )
        self._bar.add_task(
            "preparing",
            total=self._part(trainer).total,
            completed=self._part(trainer).before + trainer.global_step,
            losses="",
        )
        self._bar.start()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        *_: Any,  # noqa: ANN401
    ) -> None:
        """Moves the bar on."""
        step = trainer.global_step
        if self._start[1] < 0:
            self._start = (time.monotonic(), step)
        self._losses |= seen(pl_module).losses.keys()
        if not self._enabled:
            return
        stage = seen(pl_module).stage
        name, before, total = self._part(trainer)
        stage, done = f"{name}: {stage}" if name else stage, before + step
        if self._bar is not None:
            task, when = self._bar.task_ids[0], time.monotonic()
            if when - self._shown >= 0.25:  # reading losses waits for a GPU: no more than is seen
                self._bar.update(task, losses=self._now(trainer, pl_module))
                self._shown = when
            self._bar.update(task, completed=done, description=stage)
        elif done % max((total or -1) // self.num_lines, 1) == 0:
            left = self._time_left(trainer)
            now = self._now(trainer, pl_module)
            line = f"step {done}/{total or -1}  {stage}  ETA {left}  {now}"
            self.console.print(line, highlight=False, soft_wrap=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Closes the bar."""
        self._close()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Closes the bar, so that what is printed next stands below it."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _time_left(self, trainer: L.Trainer) -> str:
        _, before, total = self._part(trainer)
        seconds = seconds_left(*self._start, trainer.global_step, before, total)
        return "unknown" if seconds is None else str(timedelta(seconds=round(seconds)))

    def _is_followed(self, trainer: L.Trainer) -> bool:
        """Whether another run of the job comes after this one, whose bar goes on in its place."""
        _, before, total = self._part(trainer)
        return total is not None and before + trainer.max_steps < total

    def _part(self, trainer: L.Trainer) -> Part:
        alone = Part("", 0, trainer.max_steps if trainer.max_steps > 0 else None)
        return self.part or alone

    def _now(self, trainer: L.Trainer, pl_module: L.LightningModule) -> str:
        """What Lightning shows, without losses that have ended: it would keep their last value."""
        ended = self._losses - seen(pl_module).losses.keys()
        shown = {k: v for k, v in trainer.progress_bar_metrics.items() if k not in ended}
        return "  ".join(f"{name} {float(value):.3g}" for name, value in shown.items())


def seconds_left(
    began: float, first: int, step: int, before: int, total: int | None
) -> float | None:
    """How long the rest of a job takes, if its steps go on as they went.

    Args:
        began: When the first step of this process ended, of ``time.monotonic()``.
        first: Which step that was.
        step: Steps of this run that are made.
        before: Steps of the job's runs before this one.
        total: Of the job; None where its end is not known.

    Returns:
        Seconds; None where nobody can tell.
    """
    if step <= first or total is None:
        return None
    return (time.monotonic() - began) / (step - first) * (total - before - step)
