"""The queue's clock: whatever one tick runs into, the next one comes."""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from redream.escaping import on_one_line
from redream.ui.queue import Queue

_TICK_S, _AGAIN_S = 2.0, 3600.0


@contextmanager
def ticking(queue: Queue, seconds: float = _TICK_S) -> Iterator[None]:
    """Lets the queue start what is next, as long as the block runs.

    Args:
        queue: The queue.
        seconds: From one tick to the next.
    """
    ended = threading.Event()

    def tick() -> None:
        said: dict[str, float] = {}
        while not ended.wait(seconds):
            _say(_tick(queue), said)

    clock = threading.Thread(target=tick, daemon=True)
    clock.start()
    try:
        yield
    finally:
        ended.set()
        clock.join(5.0)


def _tick(queue: Queue) -> list[Exception]:
    """One tick, and what it ran into; a bug of ours, too, must not end a night's work."""
    try:
        return [*queue.tick()]
    except Exception as error:
        return [error]


def _say(errors: Sequence[Exception], said: dict[str, float]) -> None:
    """Says each kind in one line, which is said again no sooner than an hour later.

    Args:
        errors: What a tick ran into.
        said: When each kind was said last; it is kept up.
    """
    for error in errors:
        name, now = type(error).__name__, time.monotonic()
        kind = f"{name} {getattr(error, 'errno', '')}"
        if kind not in said or now - said[kind] >= _AGAIN_S:
            said[kind] = now
            what = str(error) if isinstance(error, OSError) else f"{name}: {error}"
            with suppress(OSError, ValueError):  # nobody listens any more
                print(on_one_line(f"redream: the queue: {what}"), file=sys.stderr, flush=True)
