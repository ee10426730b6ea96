"""Files that are whole or absent, never half-written, and the folder for those made again."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redream.errors import first_line

_FULL = 1 << 16  # bytes left on a disk that has no room


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

    Raises:
        OSError: If it cannot be written; says where and why, such as a full disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.stem}.{unique}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if type(error) is not OSError or error.filename is not None:
            raise
        why = why_not_written(path.parent, error)  # asked while what was written takes room
        raise OSError(f"cannot write {path}: {why}") from error
    finally:
        temporary.unlink(missing_ok=True)


def why_not_written(folder: Path, error: Exception) -> str:
    """Why something could not be written; libraries hide that a disk is full in many ways.

    Args:
        folder: Where it should be; asked before what was written is removed.
        error: What was raised.

    Returns:
        A few words.
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    existing = next(each for each in folder.absolute().joinpath("_").parents if each.is_dir())
    if shutil.disk_usage(existing).free < _FULL:
        return "no space left on device"
    return first_line(error)


def cache_folder() -> Path:
    """Where lies what can be made again: ``$REDREAM_CACHE``, or ``~/.cache/redream``."""
    return Path(os.environ.get("REDREAM_CACHE", "~/.cache/redream")).expanduser()
