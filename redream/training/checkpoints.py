"""Checkpoints: whole or absent, the one before kept, and nothing executed to read them."""

import os
import shutil
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from redream.files import why_not_written
from redream.representations.checkpoint import previous_checkpoint, read_checkpoint_or_previous
from redream.types import KEY_RULE


class WholeCheckpoints(TorchCheckpointIO):
    """Reads and writes checkpoints so that a kill, a full disk or a NaN leaves a good one.

    A checkpoint is written under another name and renamed. What it replaces stays beside it as
    ``previous-...``, and is read where the newer one is damaged.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any = None,  # noqa: ANN401
    ) -> None:
        """Writes a checkpoint, unless its weights are spoilt.

        Raises:
            OSError: If it cannot be written; what stood at ``path`` is intact.
        """
        if "://" in str(path):  # a remote file system renames by itself
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        path = Path(path)
        spoilt = _first_not_finite(checkpoint["state_dict"])
        if spoilt is not None:
            warnings.warn(
                f"step {checkpoint['global_step']} is not saved, as {spoilt} is not finite: "
                f"{path} stays as it was",
                RuntimeWarning,
                stacklevel=2,
            )
            return
        temporary = path.with_name(f".{path.name}.part")  # one process writes: it can be reused
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            _keep(path)
            os.replace(temporary, path)
        except (OSError, RuntimeError) as error:  # PyTorch says RuntimeError where the disk is full
            why = why_not_written(path.parent, error)  # asked while what was written takes room
            with suppress(OSError):  # it may be a disk that can only be read
                temporary.unlink(missing_ok=True)
            intact = "; the one before is intact" if path.is_file() else ""
            raise OSError(f"cannot write the checkpoint {path}: {why}{intact}") from error

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any = lambda storage, location: storage,  # noqa: ANN401
        weights_only: bool | None = True,
    ) -> dict[str, Any]:
        """Reads a checkpoint, or the one before where it is damaged.

        Raises:
            FileNotFoundError: If there is none; names those that there are.
            ValueError: If it is damaged and there is none before it.
        """
        return read_checkpoint_or_previous(Path(path), map_location=map_location)[1]


def save_last_step(trainer: Trainer) -> None:
    """Saves where a training ended between two checkpoints of a period: `last.ckpt` is the end.

    Args:
        trainer: Of the training that has ended, in each of its processes.
    """
    for saver in trainer.checkpoint_callbacks:
        if isinstance(saver, ModelCheckpoint) and not saver._should_skip_saving_checkpoint(trainer):
            saver._save_last_checkpoint(trainer, saver._monitor_candidates(trainer))


def require_same_parts(checkpoint: Mapping[str, Any], module: LightningModule) -> None:
    """Makes sure that a checkpoint is of this configuration; the frozen prior is in none.

    Raises:
        ValueError: If it holds other parts or other shapes.
    """
    theirs = checkpoint["state_dict"]
    mine = {key: value for key, value in module.state_dict().items() if not is_frozen(key)}
    for key in sorted(mine.keys() ^ theirs.keys()):
        where = "is not in the checkpoint" if key in mine else "is in the checkpoint alone"
        raise ValueError(f"the checkpoint is of another configuration: {key} {where}; {_ADVICE}")
    for key, value in mine.items():
        if isinstance(value, Tensor) and value.shape != theirs[key].shape:
            raise ValueError(
                f"the checkpoint is of another configuration: {key} has the shape "
                f"{tuple(theirs[key].shape)} there and {tuple(value.shape)} here; {_ADVICE}"
            )


_ADVICE = "take the config.yaml of its run"
_KEYS = "random_keys"


def mark_random_keys(checkpoint: dict[str, Any]) -> None:
    """Says in a checkpoint by which rule its random numbers are keyed."""
    checkpoint[_KEYS] = KEY_RULE


def warn_of_other_random_keys(checkpoint: Mapping[str, Any]) -> None:
    """Says in one line where a training goes on with other random numbers than it began with.

    Warns:
        RuntimeWarning: If the checkpoint's random numbers were keyed by another rule.
    """
    theirs = checkpoint.get(_KEYS, 1)  # the first rule was not named
    if theirs != KEY_RULE:
        warnings.warn(
            f"the checkpoint of step {checkpoint['global_step']} is of a version whose random "
            f"numbers were keyed by rule {theirs}, and rule {KEY_RULE} is in use: the run goes on, "
            "but not with the numbers that it would have had there",
            RuntimeWarning,
            stacklevel=2,
        )


def is_frozen(key: str) -> bool:
    """Whether an entry of the module's state belongs to a frozen prior."""
    return key.startswith(("prior.", "variational_prior."))


def _keep(path: Path) -> None:
    """Gives a checkpoint a second name, under which it stays when its first is taken over."""
    if not path.is_file():
        return
    second = path.with_name(f".previous-{path.name}.part")
    second.unlink(missing_ok=True)
    try:
        os.link(path, second)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, second)
    os.replace(second, previous_checkpoint(path))


def _first_not_finite(state: Mapping[str, Any]) -> str | None:
    for key, value in state.items():
        if isinstance(value, Tensor) and value.is_floating_point() and not value.isfinite().all():
            return key
    return None
