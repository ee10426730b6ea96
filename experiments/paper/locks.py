"""Work that several processes may be at: each piece is made by one of them, once, and kept.

Who works on a piece holds an advisory lock beside it, which the system takes back from a process
that dies.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from experiments.paper.provenance import commit
from redream.files import whole_file
from redream.locks import take


def slug(prompt: str) -> str:
    """A prompt as a file's name, its own among all prompts."""
    readable = re.sub(r"[^a-z0-9]+", "_", prompt.lower()).strip("_")[:60]
    return f"{readable}-{sha256(prompt.encode()).hexdigest()[:6]}"


@contextmanager
def claim(path: Path, wait: bool = False) -> Iterator[int | None]:
    """Yields a lock's descriptor where this process alone may work on a path, otherwise None.

    Args:
        path: What to work on.
        wait: Waits while another process is at it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        yield lock.fileno() if take(lock.fileno(), wait) else None


def digest(*settings: object) -> str:
    """What tells some settings from others; bytes such as a file's count as they are."""
    found = sha256()
    for each in settings:
        found.update(each if isinstance(each, bytes) else repr(each).encode())
    return found.hexdigest()[:16]


def keep(
    path: Path, recipe: str, make: Callable[[], dict[str, Any]], wait: bool = False
) -> dict[str, Any] | None:
    """What a file holds; it is made first where it is missing.

    Args:
        path: A JSON file. Whatever else ``make`` leaves must be whole when it returns.
        recipe: What tells these settings from others.
        make: Makes what the file shall hold.
        wait: Waits while another process is at it.

    Returns:
        What the file holds; None while another process is at it.

    Raises:
        ValueError: If it was made with other settings.
    """
    with claim(path, wait) as lock:
        if lock is None:
            return None
        if not path.is_file():
            made = {"recipe": recipe, "commit": commit(), "made": make()}
            with whole_file(path) as temporary:
                temporary.write_text(json.dumps(made, indent=1), encoding="utf-8")
        kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if kept["recipe"] != recipe:
            raise ValueError(
                f"{path} was made with other settings: delete it, or choose another --out"
            )
        found: dict[str, Any] = kept["made"]
        return found


def keep_each(
    folder: Path, prompts: Sequence[str], recipe: str, make: Callable[[str], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What a figure knows of each prompt, a file each.

    Prompts that others are at are left to them, and looked at once more in the end.
    """
    kept: dict[str, dict[str, Any]] = {}
    for prompt in (*prompts, *prompts):
        if prompt not in kept:
            found = keep(folder / f"{slug(prompt)}.json", recipe, partial(make, prompt))
            if found is not None:
                kept[prompt] = found
    return {prompt: kept[prompt] for prompt in prompts if prompt in kept}
