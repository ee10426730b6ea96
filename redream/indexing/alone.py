"""One build at a time for each index folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redream.locks import lock_alone, owner_of


@contextmanager
def building_alone(out: Path) -> Iterator[None]:
    """Holds an index folder for one build; the system lets go of it when its process ends.

    The lock lies beside the shards, not among them: who removes them still has it.

    Args:
        out: The index folder, which may not exist yet; the folder that it lies in is made.

    Raises:
        ValueError: If another build of it is at work.
        OSError: If the lock's file cannot be made.
    """
    lock = out.with_name(f".{out.name}.building.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with lock_alone(lock, waits=False) as is_alone:
            if not is_alone:
                raise ValueError(
                    f"another build of {out} is at work: wait for it, or name another folder"
                )
            if not _is_ours(lock):  # who had it removed the file after we had opened it
                continue
            try:
                yield
            finally:
                if _is_ours(lock):
                    with suppress(PermissionError):  # Windows, which keeps what is open
                        lock.unlink()
            return


def _is_ours(lock: Path) -> bool:
    return owner_of(lock) == os.getpid()
