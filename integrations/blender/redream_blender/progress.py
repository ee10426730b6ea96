"""How far a run is, from its ``status.json``; and what went wrong, also before there was one."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

STATUS = "status.json"
_ERROR = re.compile(r"redream: error: (.+)")
_RAISED = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Exit)\b.*")
_SAID = {"exporting": "writing the object"}


class Progress:
    """What a run says of itself: a small file, whole each time, and its growing output.

    Args:
        folder: The run's folder.
        log: The file of its output; it may not be there yet.
        since: Seconds since the epoch when the command was started; what an earlier one has said
            does not count.

    Attributes:
        step: Steps that are done.
        total: Steps of the whole run; 0 where that is not known.
        stage: What the run is doing, in its words.
        left: The time left, as the run estimates it; empty where it does not.
        error: What went wrong, in one line; empty where nothing has.
    """

    def __init__(self, folder: Path, log: Path, since: float = 0.0) -> None:
        self.folder, self.log, self.since = folder, log, since
        self.step, self.total = 0, 0
        self.stage, self.left, self.error = "starting", "", ""
        self._place, self._rest, self._is_traceback = 0, b"", False

    @property
    def share(self) -> float:
        """How much of the run is done, in [0, 1]."""
        return min(self.step / self.total, 1.0) if self.total > 0 else 0.0

    def read(self) -> None:
        """Reads what has come since."""
        status = self._status()
        if status is not None:
            state = str(status.get("state", ""))
            training = str(status.get("stage") or state) if state == "training" else state
            self.stage = _SAID.get(training, training)
            self.step, self.total = _count(status.get("step")), _count(status.get("steps"))
            self.left = _spoken(status.get("seconds_left"))
        for line in self._new_lines():
            self._take(line)

    def _status(self) -> dict[str, Any] | None:
        """The status; None where there is none of this command's."""
        try:
            status = json.loads((self.folder / STATUS).read_text("utf-8"))
            is_ours = isinstance(status, dict) and float(status["time"]) >= self.since
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return status if is_ours else None

    def _new_lines(self) -> list[str]:
        try:
            with self.log.open("rb") as file:
                file.seek(self._place)
                new = file.read()
        except OSError:  # not there yet
            return []
        self._place += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        return [line.decode("utf-8", "replace").strip() for line in lines]

    def _take(self, line: str) -> None:
        if error := _ERROR.match(line):
            self.error = error.group(1)
        elif line.startswith("Traceback (most recent call last)"):
            self._is_traceback = True
        elif self._is_traceback and _RAISED.fullmatch(line):
            self.error = line


def _count(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _spoken(seconds: object) -> str:
    if not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e9:
        return ""
    return str(timedelta(seconds=round(seconds)))
