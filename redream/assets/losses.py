"""What of a file is not shown as the file says: named in the log, a line each."""

import logging
from collections.abc import Iterable
from pathlib import Path

_log = logging.getLogger(__name__)
_NUM_NAMED = 8


def name_losses(path: Path, losses: Iterable[str]) -> None:
    """Writes a line for each loss of a file into the log, the first few in words.

    Args:
        path: The file.
        losses: What is not shown, and why; of equal ones the first counts.
    """
    lines = list(dict.fromkeys(losses))
    for line in lines[:_NUM_NAMED]:
        _log.warning("%s: %s", path.name, line)
    if len(lines) > _NUM_NAMED:
        _log.warning("%s: %d more such losses", path.name, len(lines) - _NUM_NAMED)
