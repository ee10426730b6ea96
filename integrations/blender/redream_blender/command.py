"""What is asked of ``redream``: the arguments of a run, as a list that no shell reads."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .presets import DEFAULT, OWN_ASSET, Preset


class Selection(NamedTuple):
    """Objects of the scene in the place of retrieved assets.

    Attributes:
        file: The GLB that they were written to.
        shows: What they show; empty takes the prompt.
        faces_front: Whether they face -Y; else their front is looked for.
        keeps_shape: Whether their surface stays, with its texture coordinates and the names of its
            materials, and is painted anew; else it is only where the new object starts.
    """

    file: Path
    shows: str = ""
    faces_front: bool = True
    keeps_shape: bool = False


class Wish(NamedTuple):
    """What to make.

    Attributes:
        prompt: In words.
        preset: By which configuration.
        num_objects: How many objects.
        size_m: Longest side of an object in metres.
        options: More options of the command line.
        selection: What to start from; None retrieves assets.
    """

    prompt: str
    preset: Preset
    num_objects: int = 1
    size_m: float = 1.0
    options: str = ""
    selection: Selection | None = None


def fit_arguments(wish: Wish, configs: Path, folder: Path) -> list[str]:
    """The arguments of a run.

    Args:
        wish: What to make.
        configs: The folder of configurations.
        folder: Where the run writes.

    Raises:
        ValueError: If the prompt is empty, or a quotation mark of the options has no other.
    """
    if not wish.prompt.strip():
        raise ValueError("the prompt is empty: say what to make")
    files = list(wish.preset.files)
    own = configs / f"{OWN_ASSET}.yaml"
    if wish.selection is not None and wish.preset.name == DEFAULT and own.is_file():
        files.append(own)
    arguments = ["fit", *(f"--config={file}" for file in files)]
    arguments += [
        f"--prompt={wish.prompt.strip()}",
        f"--trainer.default_root_dir={folder}",
        f"--model.num_particles={wish.num_objects}",
        f"--export.size_m={wish.size_m:.6g}",
    ]
    if wish.selection is not None:
        arguments += _own(wish.selection)
    return arguments + split_options(wish.options)


def go_on_arguments(arguments: Sequence[str]) -> list[str]:
    """Those of a run that was stopped, so that it goes on from its last checkpoint."""
    return [*arguments, "--ckpt_path=last"]


def take_arguments(folder: Path) -> list[str]:
    """Those that write the models of a stopped run's last checkpoint."""
    return ["predict", f"--ckpt_path={folder / 'checkpoints' / 'last.ckpt'}"]


def split_options(text: str) -> list[str]:
    r"""Splits a line at its blanks, except between quotation marks; a ``\`` of Windows stays.

    Raises:
        ValueError: If a quotation mark has no other.
    """
    parts, part, mark, has_begun = [], "", "", False
    for sign in text:
        if mark:
            part, mark = (part, "") if sign == mark else (part + sign, mark)
        elif sign in "\"'" and (not has_begun or part.endswith("=")):
            mark, has_begun = sign, True
        elif not sign.isspace():
            part, has_begun = part + sign, True
        elif has_begun:
            parts.append(part)
            part, has_begun = "", False
    if mark:
        raise ValueError(f"a quotation mark {mark} of the options has no other")
    return [*parts, part] if has_begun else parts


def _own(selection: Selection) -> list[str]:
    """Options for the user's own files; lists are JSON, which paths of Windows pass unharmed."""
    arguments = [f"--data.assets={json.dumps([str(selection.file)])}"]
    if selection.shows.strip():
        arguments.append(f"--data.captions={json.dumps([selection.shows.strip()])}")
    if selection.faces_front:
        arguments.append("--data.orient=false")
    if selection.keeps_shape:
        arguments += [
            "--model.representation=Mesh",
            "--model.representation.init_args.penalties={}",
        ]
    return arguments
