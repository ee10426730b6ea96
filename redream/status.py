"""``status.json``: where a run is, as whoever watches it reads it, without the run's libraries."""

import math
from pathlib import Path
from typing import Any, NamedTuple

from redream.plain_data import read_json

STATUS = "status.json"
LOCK = ".run.lock"  # held while a run is at work in its folder
STATES = ("preparing", "training", "exporting", "finished", "stopped", "failed")


class RunStatus(NamedTuple):
    """Where a run is.

    Attributes:
        state: One of :data:`STATES`.
        stage: What the training does, such as ``warm-up``; empty outside of it.
        step: Steps that are made.
        steps: Steps in all; None where the end is not known.
        seconds_left: Of the training; None where nobody can tell.
        losses: The last step's terms by name.
        error: Why it failed, in one line.
        time: When this was written, in seconds since 1970.
    """

    state: str
    stage: str = ""
    step: int = 0
    steps: int | None = None
    seconds_left: float | None = None
    losses: dict[str, float] = {}  # noqa: RUF012  (never changed)
    error: str = ""
    time: float = 0.0


def read_status(folder: Path) -> RunStatus | None:
    """Reads what a run has left, whoever it was.

    Args:
        folder: The run's folder.

    Returns:
        Its status; None where there is none, or none that makes sense.
    """
    try:
        found: Any = read_json(folder / STATUS)
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("state") not in STATES:
        return None
    step, steps = _number(found.get("step")), _number(found.get("steps"))
    losses = found.get("losses")
    named = losses.items() if isinstance(losses, dict) else ()
    return RunStatus(
        str(found["state"]),
        str(found.get("stage", ""))[:80],
        int(step or 0),
        None if steps is None else int(steps),
        _number(found.get("seconds_left")),
        {str(name)[:40]: float(each) for name, each in named if _number(each) is not None},
        str(found.get("error", ""))[:2000],
        _number(found.get("time")) or 0.0,
    )


def _number(value: Any) -> float | None:  # noqa: ANN401
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e15 and math.isfinite(value) else None
