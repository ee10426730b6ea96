"""Reads a run's checkpoint without trusting it, and takes one particle out of it."""

import warnings
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from redream.errors import first_line
from redream.plain_data import read_yaml
from redream.representations.base import Representation

OF_A_RUN = frozenset({"state_dict", "global_step", "optimizer_states"})
"""What a run needs to go on from a checkpoint."""


def read_checkpoint(
    path: Path,
    needed: Collection[str] = ("state_dict",),
    map_location: Any = "cpu",  # noqa: ANN401  (PyTorch's)
    mmap: bool = False,
) -> dict[str, Any]:
    """Reads a checkpoint, which may be a stranger's: nothing in it is executed.

    What PyTorch writes is a zip archive without compression, so one whose parts claim more bytes
    than the file has is refused.

    Args:
        path: The ``.ckpt`` file.
        needed: What it must hold.
        map_location: Where its tensors go, as for ``torch.load``.
        mmap: Whether tensors stay on disk until they are used; else their checksums are compared.

    Returns:
        What the checkpoint holds.

    Raises:
        FileNotFoundError: If there is no such file; names those beside it.
        ValueError: If it is cut short, no checkpoint of a run, or asks for more than tensors and
            plain values; one line that names it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint at {path}{_others(path)}")
    try:
        with zipfile.ZipFile(path) as archive:
            claimed = sum(part.file_size for part in archive.infolist())
            if claimed > path.stat().st_size:
                raise ValueError("it claims more than it has")
            if not mmap and archive.testzip() is not None:
                raise ValueError("it is damaged")
        checkpoint = torch.load(path, map_location=map_location, weights_only=True, mmap=mmap)
        missing = set(needed) - checkpoint.keys()
        if missing or not isinstance(checkpoint["state_dict"], dict):
            raise ValueError(f"it has no {', '.join(sorted(missing)) or 'weights'}")
    except Exception as error:  # pickles fail in any way
        raise ValueError(
            f"cannot read {path}: it is cut short, or no checkpoint of a run{_others(path)}"
        ) from error
    return dict(checkpoint)


def read_checkpoint_or_previous(
    path: Path,
    needed: Collection[str] = OF_A_RUN,
    map_location: Any = "cpu",  # noqa: ANN401  (PyTorch's)
) -> tuple[Path, dict[str, Any]]:
    """Reads a checkpoint, or with a warning the one before it where it is damaged.

    Args:
        path: The ``.ckpt`` file.
        needed: What it must hold.
        map_location: Where its tensors go, as for ``torch.load``.

    Returns:
        The file that was read, and what it holds.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged and there is none before it, or that is damaged, too.
    """
    try:
        return path, read_checkpoint(path, needed, map_location)
    except ValueError:
        previous = previous_checkpoint(path)
        if not previous.is_file():
            raise
    checkpoint = read_checkpoint(previous, needed, map_location)
    warnings.warn(
        f"{path} is damaged: going on from {previous}, the checkpoint before it",
        RuntimeWarning,
        stacklevel=2,
    )
    return previous, checkpoint


def previous_checkpoint(path: Path) -> Path:
    """Where the checkpoint stays that ``path`` has replaced."""
    return path.with_name(f"previous-{path.name}")


def load_particle(path: Path, number: int) -> Representation:
    """Makes a particle again from a checkpoint and the ``config.yaml`` of its run.

    Only classes that are already imported are made: those of ReDream and of installed plugins.

    Args:
        path: The ``.ckpt`` file, in its run's folder or a folder below it.
        number: Which particle; taken modulo the number of particles.

    Returns:
        The particle, in evaluation mode, on the CPU.

    Raises:
        FileNotFoundError: If the checkpoint or the config is missing.
        ValueError: If they hold no particle; one line that names the file.
    """
    state = read_checkpoint(path, mmap=True)["state_dict"]
    try:
        numbers = {int(key.split(".")[1]) for key in state if key.startswith("particles.")}
    except (AttributeError, ValueError, IndexError) as error:
        raise ValueError(f"cannot read {path}: it is not a checkpoint of a run") from error
    if not numbers:
        raise ValueError(f"cannot start from {path}: it holds no particles")
    prefix = f"particles.{number % (max(numbers) + 1)}."
    particle = _make(path)
    own = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    try:
        particle.load_state_dict(own)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(
            f"cannot start from {path}: its config.yaml is another's: {reason}"
        ) from error
    return particle.eval()


def config_of(checkpoint: Path) -> Path | None:
    """The ``config.yaml`` of a checkpoint's run, beside it or one folder above, if there is one."""
    folders = (checkpoint.parent, checkpoint.parent.parent)
    places = [folder / "config.yaml" for folder in folders]
    return next((place for place in places if place.is_file()), None)


def _others(path: Path) -> str:
    """The other checkpoints of a folder, for an error message."""
    found = sorted(each.name for each in path.parent.glob("*.ckpt") if each != path)
    return f"; beside it there is {', '.join(found)}" if found else ""


def _make(path: Path) -> Representation:
    """The representation that a checkpoint's run was configured with, untrained."""
    config = config_of(path)
    if config is None:
        raise FileNotFoundError(f"{path} needs its run's config.yaml beside it or one folder above")
    try:
        made: dict[str, Any] = read_yaml(config)["model"]["representation"]
        name = str(made["class_path"]).rpartition(".")[2]
        arguments = dict(made.get("init_args") or {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{config} says of no model.representation what it is") from error
    known = {each.__name__: each for each in _subclasses(Representation)}
    if name not in known:
        raise ValueError(f"{config} wants the representation {name}, which is not installed")
    needless = {"seed", "init_from", *known[name].training_arguments}
    arguments = {key: value for key, value in arguments.items() if key not in needless}
    try:
        particle: Representation = known[name](**arguments)
    except Exception as error:  # arguments of any type, so it can fail in any way
        raise ValueError(f"{config} describes no {name}: {first_line(error)}") from error
    return particle


def _subclasses(parent: type[Any]) -> list[type[Any]]:
    """All classes below one, itself excluded."""
    children = parent.__subclasses__()
    return children + [each for child in children for each in _subclasses(child)]
