"""Work that several processes may be at: each piece is made by one of them, once, and kept.

Who works on a piece holds an advisory lock beside it, which the system takes back from a process
that dies.
"""

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redream.files import whole_file


@contextmanager
def claim(path: Path) -> Iterator[int | None]:
    """Yields a lock's descriptor where this process alone may work on a path, otherwise None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield lock.fileno()


def keep(path: Path, recipe: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """What a file holds; it is made first where it is missing.

    Args:
        path: A JSON file. Whatever else ``make`` leaves must be whole when it returns.
        recipe: What tells these settings from others.
        make: Makes what the file shall hold.

    Returns:
        What the file holds; None while another process is at it.

    Raises:
        ValueError: If it was made with other settings.
    """
    with claim(path) as lock:
        if lock is None:
            return None
        if not path.is_file():
            made = {"recipe": recipe, "made": make()}
            with whole_file(path) as temporary:
                temporary.write_text(json.dumps(made, indent=1), encoding="utf-8")
        kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if kept["recipe"] != recipe:
            raise ValueError(f"{path} was made with other settings: delete it, or choose --out")
        found: dict[str, Any] = kept["made"]
        return found
