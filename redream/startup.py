"""While a program starts, nobody looks for garbage.

Importing PyTorch, Lightning and diffusers makes 700,000 objects that stay. Python's collector,
which is called by the number of new objects, walks through them again and again on the way, in
vain: a fifth of what a start takes of the processor; and later each of its full rounds takes a
third of a second. So it waits while a program starts, and what is there when a run begins is never
looked through again.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_is_waiting = False
_is_settled = False


@contextmanager
def uncollected() -> Iterator[None]:
    """Lets the collector wait; reference counts free what they can meanwhile."""
    global _is_waiting
    outermost = gc.isenabled()
    _is_waiting = _is_waiting or outermost
    gc.disable()
    try:
        yield
    finally:
        if outermost:
            _end_waiting()


def settle() -> None:
    """Ends the start, inside :func:`uncollected`: the collector is spared what there is by now.

    Only once in a process: a program that calls commands has objects of its own, which may become
    garbage between two.
    """
    global _is_settled
    if not _is_settled:
        gc.freeze()
        _is_settled = True
    _end_waiting()


def _end_waiting() -> None:
    global _is_waiting
    if _is_waiting:
        gc.enable()
    _is_waiting = False
