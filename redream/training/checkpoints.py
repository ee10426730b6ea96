"""Checkpoints: whole or absent, the one before kept, and nothing executed to read them."""

import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from redream import __version__
from redream.files import why_not_written
from redream.representations.checkpoint import previous_checkpoint, read_checkpoint_or_previous
from redream.training.form import require_form
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
        checkpoint = read_checkpoint_or_previous(Path(path), map_location=map_location)[1]
        checkpoint.pop("hyper_parameters", None)  # the config.yaml of a run says what it is
        if not _counts(checkpoint.get("loops")):
            raise ValueError(
                f"cannot go on from {path}: its loops hold no number where a count belongs"
            )
        return checkpoint


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
        ValueError: If it holds other parts, shapes or kinds of numbers, or what is not finite.
    """
    theirs = checkpoint["state_dict"]
    mine = {key: value for key, value in module.state_dict().items() if not is_frozen(key)}
    for key in _STARTS_UNKNOWN & mine.keys() - theirs.keys():
        theirs[key] = mine[key]
    said, advice = "the checkpoint is of another configuration", _advice(checkpoint)
    for key in sorted(mine.keys() ^ theirs.keys()):
        where = "is not in the checkpoint" if key in mine else "is in the checkpoint alone"
        raise ValueError(f"{said}: {key} {where}; {advice}")
    free = _free_rows(module)
    for key, value in mine.items():
        own = _as_many_rows(value, theirs[key]) if key in free else value
        require_form(theirs[key], own, key, _STARTS_UNKNOWN)


def _free_rows(module: LightningModule) -> set[str]:
    """Names of the state whose number of rows is a checkpoint's own: geometry that was started."""
    return {
        f"{place}.{name}"
        for place, part in module.named_modules()
        for name in getattr(part, "free_rows", ())
    }


def _as_many_rows(own: Tensor, found: Any) -> Tensor:  # noqa: ANN401
    """Something of the form that is known here, with as many rows as were found."""
    if not isinstance(found, Tensor) or found.ndim == 0:
        return own
    return own.new_empty((len(found), *own.shape[1:]))


def _advice(checkpoint: Mapping[str, Any]) -> str:
    """What to do, and which version made it: the config alone does not help across versions."""
    version = origin_of(checkpoint).get("version", "before 0.1.0's end")
    other = "" if version == __version__ else f", and the ReDream that made it ({version})"
    return f"take the config.yaml of its run{other}"


_STARTS_UNKNOWN = {"asset_of", "finished"}
"""State that an older checkpoint may lack: what it starts with means that it is not known yet."""
_KEYS, _ORIGIN = "random_keys", "redream"


def mark_origin(
    checkpoint: dict[str, Any], trainer: Trainer, model_seed: int | None = None
) -> None:
    """Says in a checkpoint what it was made from, and by which version.

    Args:
        checkpoint: The checkpoint.
        trainer: Its data has a ``prompt`` and ``assets``, or lacks them.
        model_seed: What keys the model's random numbers.
    """
    data = getattr(trainer, "datamodule", None)
    seed = os.environ.get("PL_GLOBAL_SEED")
    checkpoint[_ORIGIN] = {
        "version": __version__,
        "prompt": getattr(data, "prompt", None),
        "assets": [asset.uid for asset in getattr(data, "assets", ())],
        "seed": None if seed is None else int(seed),
        "model_seed": model_seed,
    }


def origin_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of its origin; empty where it is of before such marks."""
    origin = checkpoint.get(_ORIGIN)
    kinds = {"version": str, "prompt": str, "assets": list, "seed": int, "model_seed": int}
    said = origin if isinstance(origin, dict) else {}
    known = {name: said[name] for name, kind in kinds.items() if isinstance(said.get(name), kind)}
    if not all(isinstance(each, str) for each in known.get("assets", ())):
        del known["assets"]
    return known


def require_same_origin(
    checkpoint: Mapping[str, Any],
    prompt: str | None = None,
    assets: Sequence[str] | None = None,
    seed: int | None = None,
    model_seed: int | None = None,
) -> None:
    """Makes sure that a run goes on with what it began with, or exports what it made.

    Args:
        checkpoint: The checkpoint.
        prompt: The prompt now; like the others, None where it is not to be compared.
        assets: The uids of the assets now, in their order.
        seed: The seed now, of everything that has none of its own.
        model_seed: That of the model now, which keys what is drawn in a step.

    Raises:
        ValueError: If the checkpoint says otherwise; one line.
    """
    origin = origin_of(checkpoint)
    now = {
        "prompt": prompt,
        "assets": None if assets is None else list(assets),
        "seed": seed,
        "model_seed": model_seed,
    }
    hints = {
        "prompt": "give --prompt {}, or start anew without --ckpt_path",
        "assets": "give the index, the files and data.least_likeness that it was made with, or "
        "start anew",
        "seed": "give --seed_everything {}, or start anew without --ckpt_path",
        "model_seed": "give --model.seed {}, or start anew without --ckpt_path",
    }
    for name, value in now.items():
        then = origin.get(name)
        if None not in (value, then) and value != then:
            raise ValueError(
                f"the checkpoint is of another run: its {name} was {_short(then)}, and here it is "
                f"{_short(value)}; {hints[name].format(_short(then))}"
            )


def require_origin_of(checkpoint: Mapping[str, Any], trainer: Trainer) -> None:
    """The same for the data of a trainer, once it has its assets."""
    data = getattr(trainer, "datamodule", None)
    assets = getattr(data, "assets", None)
    uids = None if assets is None else [asset.uid for asset in assets]
    require_same_origin(checkpoint, getattr(data, "prompt", None), uids)


def _short(value: object) -> str:
    return f"{value!r:.200}"


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
    return key.startswith(("prior.", "variational_prior.", "other_priors."))


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


def _counts(value: Any) -> bool:  # noqa: ANN401
    """Whether Lightning's loops hold numbers alone, at whatever depth; it counts on with them."""
    if isinstance(value, dict):
        return all(
            _counts(each) and not (each is None and key in _COUNTED) for key, each in value.items()
        )
    if isinstance(value, list | tuple):
        return all(map(_counts, value))
    return value is None or isinstance(value, int | float)


_COUNTED = {"ready", "started", "processed", "completed", "total", "current"} | {
    "_batches_that_stepped"
}
"""What Lightning's loops add to, wherever it stands in their state."""


def _first_not_finite(state: Mapping[str, Any]) -> str | None:
    for key, value in state.items():
        if isinstance(value, Tensor) and value.is_floating_point() and not value.isfinite().all():
            return key
    return None
