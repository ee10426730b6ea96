"""Ctrl-C, SIGTERM, SIGHUP: answered after a step where one can be waited for, else at once.

So is Ctrl-Break, which is all that one process can send another on Windows.

The exit code is the shell's for the signal (130, 143, 129), so that `&&`, make and a scheduler see
that the work did not end. Whatever was being written is whole or absent.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ANSWERED: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
)
_NOTED = b"redream: stopping when the step has ended; once more stops at once\n"


class Stopped(SystemExit):
    """A command that leaves because it was told to.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


class _Asked:
    """What this process was asked, and whether it is between the first and the last step."""

    number: int | None = None
    waits = False


@contextmanager
def signals_answered() -> Iterator[None]:
    """Answers signals for the length of a block; outside of the main thread it cannot."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ANSWERED}
    take_signals()
    try:
        yield
    finally:
        _Asked.number, _Asked.waits = None, False
        for number, handler in before.items():
            signal.signal(number, handler)


def take_signals() -> None:
    """Takes the signals (again): a library may have put handlers of its own in between."""
    for number in ANSWERED:
        signal.signal(number, _answer)


def are_answered() -> bool:
    """Whether this runs inside of :func:`signals_answered`."""
    return signal.getsignal(signal.SIGINT) is _answer


def wait_for_steps(waits: bool) -> None:
    """Says whether a signal is to be noted until a step ends, or answered at once."""
    _Asked.waits = waits


def asked_to_stop() -> int | None:
    """The signal that was noted; None where there was none."""
    return _Asked.number


def leave_if_asked() -> None:
    """Leaves where a signal was noted.

    Raises:
        Stopped: If there was one.
    """
    if _Asked.number is not None:
        raise Stopped(_Asked.number)


def _answer(number: int, frame: FrameType | None) -> None:
    if not _Asked.waits or _Asked.number is not None:
        raise Stopped(number)
    _Asked.number = number
    os.write(2, _NOTED)  # printing could be what was interrupted
