"""Which checkpoint a command goes on from, and what is said where it does not fit."""

import sys
import traceback
from pathlib import Path
from typing import Any

from redream.representations.checkpoint import previous_checkpoint


def last_or_before(folder: Path) -> str:
    """The last checkpoint of a run's folder, or the one before where that is missing.

    Returns:
        Its path; ``last`` where there is neither, since Lightning looks where its callbacks say.
    """
    last = folder / "checkpoints" / "last.ckpt"
    previous = previous_checkpoint(last)
    if last.is_file():
        return str(last)
    if not previous.is_file():
        return "last"
    print(f"redream: {last} is missing: going on from {previous}", file=sys.stderr)
    return str(previous)


def seed_of(config: Any) -> int | None:  # noqa: ANN401
    """The seed of a run, where it is a number."""
    seed = config.get("seed_everything")
    return seed if type(seed) is int else None


def while_restoring(error: BaseException) -> bool:
    """Whether an error came while Lightning restored a checkpoint, which may hold anything."""
    return any(
        frame.filename.endswith("checkpoint_connector.py")
        and frame.name.lstrip("_").startswith(("restore", "resume"))
        for frame in traceback.extract_tb(error.__traceback__)
    )
