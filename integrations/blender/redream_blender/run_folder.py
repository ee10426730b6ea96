"""Folders of runs: new ones, and what a run has left in one."""

import re
import time
from pathlib import Path
from typing import NamedTuple


class Made(NamedTuple):
    """What a run has made.

    Attributes:
        models: Its GLB files, the first particle's first.
        report: Its page; None where it has none.
    """

    models: list[Path]
    report: Path | None


def new_folder(runs: Path, prompt: str, now: time.struct_time) -> Path:
    """A folder that is not there yet, named by the day and the prompt.

    Args:
        runs: The folder of all runs.
        prompt: The prompt.
        now: The time.
    """
    words = re.sub(r"[^\w]+", "-", prompt.lower(), flags=re.ASCII).strip("-")[:40].strip("-")
    name = "-".join(filter(None, (time.strftime("%Y-%m-%d", now), words)))
    number, folder = 1, runs / name
    while folder.exists():
        number += 1
        folder = runs / f"{name}-{number}"
    return folder


def made(folder: Path, since: float = 0.0) -> Made:
    """What a run has made.

    Args:
        folder: The run's folder.
        since: Seconds since the epoch; what is older does not count.
    """
    named = [(re.fullmatch(r"particle_(\d+)\.glb", each.name), each) for each in _files(folder)]
    models = [(int(match.group(1)), each) for match, each in named if match is not None]
    report = folder / "report.html"
    return Made(
        [each for _, each in sorted(models) if each.stat().st_mtime >= since],
        report if report.is_file() else None,
    )


def can_go_on(folder: Path) -> bool:
    """Whether a run has a checkpoint, of the whole or of a stage."""
    return any(folder.glob("checkpoints/*.ckpt")) or any(folder.glob("stages/*/checkpoints/*.ckpt"))


def can_be_taken(folder: Path) -> bool:
    """Whether models can be written of a run that was stopped."""
    return (folder / "checkpoints" / "last.ckpt").is_file()


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
