"""Files that are whole or absent, never half-written, and the folder for those made again."""

import ctypes
import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redream.errors import first_line

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of linux/fcntl.h and linux/fs.h
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


@contextmanager
def lock_alone(path: Path, waits: bool) -> Iterator[bool]:
    """Holds a lock on a file as long as the block runs; the system frees it when a process ends.

    The file has the number of the process that has it. It is never followed where it is a link.

    Args:
        path: The file, which is made where it is missing; its folder exists.
        waits: Whether to wait for whoever has it.

    Yields:
        Whether the lock is held: False where another has it, and ``waits`` is False. It is True
        without a lock where the file system, or Windows, has none.

    Raises:
        OSError: If the file cannot be made, or is a link.
    """
    try:
        import fcntl
    except ImportError:
        yield True
        return
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
                raise
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())  # for whoever wonders who has it
        yield True
    finally:
        os.close(descriptor)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Holds a folder as long as the block runs, and waits for whoever has it; it gets no file."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


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
