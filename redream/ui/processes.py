"""A run's process: it outlives whoever started it, and is known again by the lock on its log.

A run writes into its ``log.txt``, which is locked when it is started. The lock belongs to the open
file, so the run and its own processes hold it as long as one of them lives, whatever becomes of the
server that started it; a number of a process, which the system gives again, is no such proof.
"""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from redream.files import whole_file
from redream.status import LOCK

LOG = "log.txt"
PROGRAM = (sys.executable, "-m", "redream")
_MOST_SAID = 1 << 16  # bytes of a log's end that are looked at


def start(
    arguments: Sequence[str], folder: Path, started_in: Path, environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """Starts ``redream`` with its words in the log of a folder.

    Args:
        arguments: The command line after ``redream``.
        folder: The run's folder.
        started_in: The folder that relative names are relative to.
        environment: The process's variables.

    Raises:
        OSError: If the log cannot be written, or a run is at work there.
    """
    flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW
    log = os.open(folder / LOG, flags, 0o644)
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(log, 0)
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=started_in,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C and a closed terminal are for the server
        )
    finally:
        os.close(log)


def is_alive(folder: Path) -> bool:
    """Whether a run is at work in a folder: one of the page's, or of a command line."""
    return any(_is_locked(folder / name) for name in (LOG, LOCK))


def stop(folder: Path, number: int) -> bool:
    """Asks a run to save its step and leave; asked twice, it leaves at once.

    Args:
        folder: The run's folder.
        number: Its process; 0 where it is not known, and the run itself says it.

    Returns:
        Whether there was one to ask.
    """
    if not is_alive(folder):
        return False
    number = number or _owner(folder)
    if number <= 1:
        return False
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGTERM)
        return True
    return False


def write_log(folder: Path, line: str) -> None:
    """Leaves a line as the log of a run that could not be started."""
    with suppress(OSError), whole_file(folder / LOG) as temporary:
        temporary.write_text(f"{line}\n", "utf-8")


def last_line(folder: Path) -> str:
    """The last line of a run's log; empty where there is none."""
    try:
        with (folder / LOG).open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - _MOST_SAID))
            lines = log.read().decode("utf-8", "replace").replace("\r", "\n").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _owner(folder: Path) -> int:
    """The process that a run's own lock names; 0 where it names none."""
    try:
        return int((folder / LOCK).read_text("utf-8"))
    except (OSError, ValueError):
        return 0


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
