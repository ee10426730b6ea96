"""Files that are whole or absent, never half-written, and the folder for those made again."""

import ctypes
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redream.errors import first_line

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of linux/fcntl.h and linux/fs.h
_IS_WINDOWS = os.name == "nt"
_READ_S = (0.01, 0.03, 0.1, 0.3)
_FULL = 1 << 16  # bytes left on a disk that has no room


@contextmanager
def whole_file(path: Path, makes_folder: bool = True) -> Iterator[Path]:
    """Yields a temporary name beside ``path`` that becomes ``path`` when the block succeeds.

    When the block raises, the temporary file is removed and what stood at ``path`` before stays.
    Every caller has a temporary name of its own, so processes may write one file at the same time:
    the last to finish wins.

    Args:
        path: Where the finished file shall be.
        makes_folder: Whether its folder is made where it is missing.

    Yields:
        The temporary name to write to; it ends like ``path``.

    Raises:
        OSError: If it cannot be written; says where and why, such as a full disk.
    """
    if makes_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.stem}.{unique}.part{path.suffix}")
    try:
        yield temporary
        _take_its_place(temporary, path)
    except OSError as error:
        if type(error) is not OSError or error.filename is not None:
            raise
        why = why_not_written(path.parent, error)  # asked while what was written takes room
        raise OSError(f"cannot write {path}: {why}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _take_its_place(temporary: Path, path: Path) -> None:
    """Renames; Windows does not while somebody reads what is there, which takes a moment."""
    for pause in _READ_S if _IS_WINDOWS else ():
        try:
            os.replace(temporary, path)
            return
        except PermissionError:
            time.sleep(pause)
    os.replace(temporary, path)


def exchange_folders(one: Path, other: Path) -> None:
    """Lets two folders take each other's name, in one step where the system has one.

    Where it has none, ``one`` is missing for a moment.

    Raises:
        OSError: If they cannot be renamed.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        names = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
        exchange = getattr(libc, "renameat2", None)
        if exchange is not None and exchange(*names, _RENAME_EXCHANGE) == 0:
            return
    aside = other.with_name(f"{other.name}.aside")
    os.replace(one, aside)
    os.replace(other, one)
    os.replace(aside, other)


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
