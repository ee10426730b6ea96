"""Who works alone: one door to locks, which the system frees when a process ends.

filelock locks on every system what we have opened ourselves. Unix locks a whole file, which all may
still read, and hands the lock on with the open file to the processes that are started. Windows
locks the first byte, which nobody else may read meanwhile, and hands nothing on. So a file that
says whose it is says it from its second byte on.
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import lock_descriptor

NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
"""A flag to open a file by, and none that is a link; Windows, where few may make one, has none."""
_HAS_NONE = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
_LOOKED_S, _LOOKS = 0.002, 3  # who only looks whether a lock is held has it for a moment
_BESIDE = ".redream.lock"


def take(descriptor: int, waits: bool) -> bool:
    """Locks what is opened, until it is closed everywhere or its processes end.

    Args:
        descriptor: The open file or folder.
        waits: Whether to wait for whoever has it.

    Returns:
        Whether it is locked. It is True without a lock where the file system has none.

    Raises:
        OSError: If it cannot be locked for another reason.
    """
    try:
        if waits:
            return lock_descriptor(descriptor)
        for look in range(_LOOKS):
            if lock_descriptor(descriptor, blocking=False):
                return True
            time.sleep(_LOOKED_S if look + 1 < _LOOKS else 0.0)
    except OSError as error:
        if error.errno not in _HAS_NONE:
            raise
        return True
    return False


@contextmanager
def lock_alone(path: Path, waits: bool) -> Iterator[bool]:
    """Holds a lock on a file as long as the block runs.

    The file has the number of the process that has it. It is never followed where it is a link.

    Args:
        path: The file, which is made where it is missing; its folder exists.
        waits: Whether to wait for whoever has it.

    Yields:
        Whether the lock is held: False where another has it, and ``waits`` is False. It is True
        without a lock where the file system has none.

    Raises:
        OSError: If the file cannot be made, or is a link.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | NO_LINKS, 0o644)
    try:
        if not take(descriptor, waits):
            yield False
            return
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f" {os.getpid()}".encode())
        yield True
    finally:
        os.close(descriptor)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Holds a folder as long as the block runs, and waits for whoever has it.

    It gets no file, but on Windows, which opens no folders.
    """
    descriptor = _open_folder(folder)
    try:
        take(descriptor, waits=True)
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock on a file; not where there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDWR | NO_LINKS)
    except OSError:
        return False
    try:
        return not take(descriptor, waits=False)
    finally:
        os.close(descriptor)


def owner_of(path: Path) -> int:
    """The number of the process that holds, or held, the lock on a file; 0 where none is named."""
    try:
        with path.open("rb", buffering=0) as file:
            try:
                said = file.read(32)
            except PermissionError:  # Windows, while it is held
                file.seek(1)
                said = file.read(32)
        return int(said)
    except (OSError, ValueError):
        return 0


def _open_folder(folder: Path) -> int:
    try:
        return os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows
        return os.open(folder / _BESIDE, os.O_CREAT | os.O_RDWR | NO_LINKS, 0o644)
