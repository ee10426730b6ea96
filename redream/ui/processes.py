"""A run's process: it outlives whoever started it, and is known again by the lock on its log.

A run writes into its ``log.txt``, which is locked when it is started. The lock belongs to the open
file, so the run and its own processes hold it as long as one of them lives, whatever becomes of the
server that started it; a number of a process, which the system gives again, is no such proof.
Windows hands no lock on: there a run is known by its own lock, and until it has taken that by its
process, whose number and birth together are no other's.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from redream.files import whole_file
from redream.locks import NO_LINKS, is_held, owner_of, take
from redream.status import LOCK

LOG = "log.txt"
PROGRAM = (sys.executable, "-m", "redream")
PATIENCE_S = 60.0
"""How long a run that was asked to leave is left alone, so that its step ends and is saved."""
_MOST_SAID = 1 << 16  # bytes of a log's end that are looked at
_STOP = getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM)  # the one that Windows can send
_APART: dict[str, Any] = (  # Ctrl-C and a closed terminal are for the server
    {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    if sys.platform == "win32"
    else {"start_new_session": True}
)


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
    log = os.open(folder / LOG, os.O_CREAT | os.O_WRONLY | os.O_APPEND | NO_LINKS, 0o644)
    try:
        if not take(log, waits=False):
            raise BlockingIOError(f"a run is at work in {folder}")
        os.ftruncate(log, 0)
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=started_in,
            env=dict(environment),
            **_APART,
        )
    finally:
        os.close(log)


def is_alive(folder: Path, number: int = 0, born: float = 0.0) -> bool:
    """Whether a run is at work in a folder: one of the page's, or of a command line.

    Args:
        folder: The run's folder.
        number: The number of its process; 0 where it is not known.
        born: When that process began; see :func:`birth_of`.
    """
    if any(is_held(folder / name) for name in (LOG, LOCK)):
        return True
    return is_the_same(number, born)


def birth_of(number: int) -> float:
    """When a process began, in seconds since 1970; 0 where there is none that lives."""
    try:
        process = psutil.Process(number)
        is_gone = process.status() == psutil.STATUS_ZOMBIE
        return 0.0 if is_gone else float(process.create_time())
    except (psutil.Error, ValueError):
        return 0.0


def is_the_same(number: int, born: float) -> bool:
    """Whether a process lives and is the one that was meant; the system gives numbers again.

    Args:
        number: Its number; 0 where it is not known.
        born: When it began; see :func:`birth_of`.
    """
    return number > 1 and born > 0.0 and birth_of(number) == born


def process_of(folder: Path, number: int = 0, born: float = 0.0) -> int:
    """The number of the process that is at work in a folder.

    A run that another took up there, as from a terminal, has its number in the lock that it holds.

    Args:
        folder: The run's folder.
        number: The number of the page's own process; 0 where it is not known.
        born: When that began; see :func:`birth_of`.

    Returns:
        Its number; 0 where nobody is at work, or nobody says who.
    """
    if is_the_same(number, born):
        return number
    owner = owner_of(folder / LOCK) if is_held(folder / LOCK) else 0
    return owner if owner > 1 else 0


def stop(number: int) -> bool:
    """Asks a run to save its step and leave; asked twice, it leaves at once.

    Args:
        number: Its process; see :func:`process_of`.

    Returns:
        Whether it could be asked: it may be gone, or another user's.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.kill(number, _STOP)
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
