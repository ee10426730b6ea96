"""Which configs this computer can run, found from what they name."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

from redream.plugins import INTERFACES, OFFERED
from redream.ui.configs import (
    Config,
    config_folder,
    every_value,
    find_configs,
    read_config,
    value_at,
)

PICTURE = ("none", "optional", "needed")
"""Whether a preset takes a picture of the object, ``data.image``."""
_SHOWN_A_PICTURE = {"ImageDreamPrior", "StableZero123Prior", "Zero123Prior"}
_PAINTS = {"StableDiffusionPrior"}


class Device(NamedTuple):
    """Something that can run one job at a time.

    Attributes:
        name: ``cpu``, or the number of a GPU.
        title: What people call it.
    """

    name: str
    title: str


class Preset(NamedTuple):
    """A config that can be chosen.

    Attributes:
        config: The config.
        lacks: What this computer lacks for it, each in a few words; none where it can run.
        picture: One of :data:`PICTURE`.
    """

    config: Config
    lacks: tuple[str, ...] = ()
    picture: str = "none"


def devices() -> list[Device]:
    """What can run a job here: the GPUs that NVIDIA's driver names, or else the processor."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return [Device("cpu", "processor")]
    try:
        said = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        said = ""
    gpus = [Device(num, name) for num, name in re.findall(r"^GPU (\d+): (.*?) \(", said, re.M)]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        gpus = [each for each in gpus if each.name in visible.split(",")]
    return gpus or [Device("cpu", "processor")]


def find_presets(started_in: Path, own: Sequence[Path] = (), has_gpu: bool = False) -> list[Preset]:
    """All configs: ReDream's, and the user's own before them.

    Args:
        started_in: Where the command was started; relative names in configs are relative to it.
        own: Configs that were named on the command line, each a preset.
        has_gpu: Whether there is a GPU.

    Raises:
        OSError: If one of the user's own cannot be read.
        ValueError: If it is no config, or there is none at all.
    """
    folder = config_folder(started_in)
    mine = [read_config(path.absolute(), path.stem, folder) for path in own]
    found = [*mine, *(find_configs(folder) if folder else [])]
    if not found:
        raise ValueError("there are no configs: name one, as in --config my.yaml")
    known = _known_classes()
    return [
        Preset(each, tuple(_lacks(each, known, started_in, has_gpu)), _picture(each))
        for each in found
    ]


def _picture(config: Config) -> str:
    """Whether a config takes a picture: what is shown one, and what could paint it."""
    values = every_value(config.values)
    named = {str(value).rpartition(".")[2] for key, value in values if key == "class_path"}
    if not named & _SHOWN_A_PICTURE:
        return "none"
    has_own = value_at(config.values, "data.image") is not None
    return "optional" if has_own or named & _PAINTS else "needed"


def _known_classes() -> set[str]:
    """The names of all components that are installed, without loading any."""
    return {each.name for group in INTERFACES for each in entry_points(group=group)}


def _lacks(config: Config, known: set[str], started_in: Path, has_gpu: bool) -> Iterator[str]:
    values = list(every_value(config.values))
    named = {str(value) for key, value in values if key == "class_path"}
    for name in sorted(each for each in named if "." not in each and each not in known):
        yield (
            f"needs {name}: pip install -e {OFFERED[name]}" if name in OFFERED else f"needs {name}"
        )
    models = {str(value) for key, value in values if key == "model" and isinstance(value, str)}
    if not has_gpu and any(not each.startswith("embedded:") for each in models):
        yield "needs a GPU, for a large model"
    for index in {str(value) for key, value in values if key == "index"}:
        if not index.startswith("embedded:") and not (started_in / index).is_dir():
            yield f"needs an index of assets at {index}"
