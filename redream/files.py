"""Files that are whole or absent, never half-written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside ``path`` that becomes ``path`` when the block succeeds.

    The folder is made where it is missing. When the block raises, the temporary file is removed
    and what stood at ``path`` before stays.

    Args:
        path: Where the finished file shall be.

    Yields:
        The temporary name to write to; it ends like ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
