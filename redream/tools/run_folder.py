"""A run owns its folder: alone while it works, and never mixed with an earlier run's outputs."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lightning.fabric.utilities.rank_zero import rank_zero_only

from redream.locks import lock_alone
from redream.status import LOCK

EARLIER = "earlier"
OUTPUTS = re.compile(
    r"config\.yaml|checkpoints|retrieval|previews|adapter|stages|lightning_logs|report\.html|"
    r"attribution\.md|image_prompt\.png|(metrics|view_balance|budget|status)\.json|(particle|turntable)_\d+(_\d+)?\.\w+"
)
"""What a run leaves in its folder."""


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Keeps a folder for one run at a time; the system lets go of it when its process ends.

    Only the first of several processes takes it, for all of them.

    Args:
        folder: The run's folder; it is made where it is missing.

    Raises:
        ValueError: If another run is at work there, or a folder of its outputs is a link.
    """
    if getattr(rank_zero_only, "rank", 0):
        yield
        return
    require_no_links(folder)
    made = _make(folder)
    with lock_alone(folder / LOCK, waits=False) as is_alone:
        if not is_alone:
            raise ValueError(
                f"another run is at work in {folder}: wait for it, or give this one a folder of "
                "its own, as in --trainer.default_root_dir outputs/second"
            )
        try:
            yield
        finally:
            if made and [each.name for each in folder.iterdir()] == [LOCK]:
                (folder / LOCK).unlink()  # a run that was refused leaves nothing
                for each in made:
                    with suppress(OSError):  # something else is there now
                        each.rmdir()


def _make(folder: Path) -> list[Path]:
    """Makes a folder; those that were not there before, the innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def require_no_links(folder: Path) -> None:
    """Refuses folders of outputs that are links: what is written there would be elsewhere.

    A file that is a link is no harm, since a file of its own takes its place.

    Raises:
        ValueError: If there is one.
    """
    for each in outputs(folder):
        if each.is_symlink() and each.is_dir():
            raise ValueError(f"{each} is a link: remove it, or name another folder for the run")


def outputs(folder: Path) -> list[Path]:
    """What an earlier run has left in a folder."""
    if not folder.is_dir():
        return []
    return sorted(each for each in folder.iterdir() if OUTPUTS.fullmatch(each.name))


def make_room(folder: Path, checkpoint: str | None) -> None:
    """Moves an earlier run's outputs aside, unless a run goes on with them.

    Args:
        folder: The run's folder, owned by the caller.
        checkpoint: What the run goes on from: None, ``last`` or a file.
    """
    if getattr(rank_zero_only, "rank", 0) or checkpoint == "last":
        return
    if checkpoint is not None and folder.resolve() in Path(checkpoint).resolve().parents:
        return
    place = move_aside(folder)
    if place is not None:
        print(f"redream: the earlier run in {folder} is now in {place}", file=sys.stderr)


def move_aside(folder: Path) -> Path | None:
    """Moves all that an earlier run has left into ``earlier/N``, the next free number.

    A move that was killed is ended by the next one, so that no run's outputs are divided.

    Args:
        folder: The run's folder, owned by the caller.

    Returns:
        Where they are now; None where there were none.
    """
    left = outputs(folder)
    begun = folder / EARLIER / ".part"
    has_made_something = any(each.name != "config.yaml" for each in left)
    if not has_made_something and not begun.is_dir():  # it was refused as it began
        return None
    begun.mkdir(parents=True, exist_ok=True)
    for each in left:
        os.replace(each, begun / each.name)
    numbers = [int(each.name) for each in begun.parent.iterdir() if each.name.isdecimal()]
    place = begun.parent / str(max(numbers, default=0) + 1)
    os.replace(begun, place)
    return place
