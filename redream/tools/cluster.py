"""A Ray cluster: joined by its address, or made of this computer; and what its workers need."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redream.escaping import on_one_line
from redream.signals import signals_answered, take_signals, wait_for_steps

_STARTS = 3  # attempts


@dataclass(frozen=True)
class Cluster:
    """Where and how shards are made.

    Attributes:
        address: Of a cluster to join; None starts one here.
        workers: Shards at once on a cluster that is started here; 0 takes what fits.
        cpus: Of a shard.
        gpus: Of a shard; a share lets several have one.
        retries: How often a shard is made again whose worker was lost.
    """

    address: str | None = None
    workers: int = 0
    cpus: int = 1
    gpus: float = 0.0
    retries: int = 2


@contextmanager
def on_cluster(what: str, address: str | None, num_cpus: int | None) -> Iterator[Any]:
    """Ray, joined or made of this computer, for a ``with`` block in which signals are answered.

    Args:
        what: What needs it, as in "a sweep".
        address: Of a cluster; None starts one.
        num_cpus: Of a cluster that is started; None takes all.

    Yields:
        Ray, which has no types.

    Raises:
        ImportError: If Ray is missing.
        OSError: If it does not start.
    """
    with signals_answered(), _elsewhere():
        ray = _started(what, address, num_cpus)
        take_signals()  # Ray has put its own in between, and loses what a handler raises
        wait_for_steps(True)
        try:
            yield ray
        finally:
            ray.shutdown()


def _started(what: str, address: str | None, num_cpus: int | None) -> Any:  # noqa: ANN401
    """Joins a cluster, or makes one of this computer."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ImportError(
            f"{what} needs Ray, which is not installed: pip install 'redream[ray]'"
        ) from error
    if address is not None:
        ray.init(address=address, log_to_driver=False)
        return ray
    for attempt in range(_STARTS):
        try:
            ray.init(num_cpus=num_cpus, include_dashboard=False, log_to_driver=False)
            break
        except Exception as error:  # a busy computer takes longer than the 30 s that Ray waits
            ray.shutdown()
            if attempt + 1 == _STARTS:
                raise OSError(f"Ray does not start here: {reason_of(error)}") from error
    return ray


@contextmanager
def _elsewhere() -> Iterator[None]:
    """Works in an empty folder: Ray lets its workers import what lies where the driver stands."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="redream-ray-") as empty:
        os.chdir(empty)
        try:
            yield
        finally:
            os.chdir(before)


def stand_in(folder: Path | None) -> None:
    """Makes relative paths mean what they meant to the driver, without modules from there."""
    if folder is not None:
        sys.path[:] = [each for each in sys.path if each not in ("", str(folder))]
        os.chdir(folder)


def reason_of(error: Exception) -> str:
    """The cause of a task's failure in one line."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return on_one_line(lines[-1]) if lines else type(cause).__name__
