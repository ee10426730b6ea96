"""How far the embedding is: a bar on a terminal, a line now and then elsewhere."""

import time
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_NUM_LINES = 20  # in a whole run, where there is no terminal


class AssetProgress:
    """Counts assets.

    Args:
        total: How many there are.
        done: How many were embedded before.
        enabled: Whether to show anything.
    """

    def __init__(self, total: int, done: int = 0, enabled: bool = True) -> None:
        self.total, self.done, self.enabled = total, done, enabled
        self._begin = (time.monotonic(), done)
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("[bold]embedding assets"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]ETA"),
            TimeRemainingColumn(),
            console=self._console,
            speed_estimate_period=300.0,
            disable=not (enabled and self._console.is_terminal),
        )
        self._task = self._bar.add_task("", total=total, completed=done)

    def advance(self, num: int) -> None:
        """Counts ``num`` more assets."""
        before, self.done = self.done, min(self.done + num, self.total)
        self._bar.update(self._task, completed=self.done)
        every = max(1, self.total // _NUM_LINES)
        ended = self.done // every > before // every or self.done == self.total
        if self.enabled and not self._console.is_terminal and ended:
            begin, first = self._begin
            rate = (time.monotonic() - begin) / max(1, self.done - first)
            left = timedelta(seconds=round(rate * (self.total - self.done)))
            line = f"embedded {self.done}/{self.total} assets  ETA {left}"
            self._console.print(line, highlight=False, soft_wrap=True)

    def __enter__(self) -> "AssetProgress":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()
