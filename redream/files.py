"""Files that are whole or absent, never half-written, and the folder for those made again."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside ``path`` that becomes ``path`` when the block succeeds.

    The folder is made where it is missing. When the block raises, the temporary file is removed
    and what stood at ``path`` before stays. Every caller has a temporary name of its own, so
    processes may write one file at the same time: the last to finish wins.

    Args:
        path: Where the finished file shall be.

    Yields:
        The temporary name to write to; it ends like ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.stem}.{unique}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Where lies what can be made again: ``$REDREAM_CACHE``, or ``~/.cache/redream``."""
    return Path(os.environ.get("REDREAM_CACHE", "~/.cache/redream")).expanduser()
