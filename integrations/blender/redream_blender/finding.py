"""Where ``redream`` lives: the program of an environment of its own, and its configs.

A windowed program knows little of a shell's PATH, so that usual places are looked at, too.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_SCRIPTS = ("Scripts", "bin")  # Windows' name first, and every other system's
_PROGRAMS = ("redream.exe", "redream")
_CHECKOUTS = ("redream", "ReDream", "src/redream", "projects/redream", "Documents/redream")


class Missing(Exception):
    """Something that is not there; one line that says what to do."""


class Home(NamedTuple):
    """Where ReDream is.

    Attributes:
        command: The program, with what comes before a verb.
        configs: The folder of its configurations.
    """

    command: tuple[str, ...]
    configs: Path


def find_home(
    chosen: str, chosen_configs: str, environ: Mapping[str, str], user: Path | None = None
) -> Home:
    """Finds the program and its configs.

    Args:
        chosen: What the user chose: the program, its environment's folder or Python, or a checkout
            that has its environment in ``.venv``; empty where nothing.
        chosen_configs: The folder of configs that the user chose; empty where none.
        environ: The environment's variables.
        user: The user's folder, where usual places are; by default that of this system.

    Raises:
        Missing: If one of them is not there.
    """
    command = find_command(chosen, environ, Path.home() if user is None else user)
    return Home(command, find_configs(Path(command[0]), chosen_configs))


def find_command(chosen: str, environ: Mapping[str, str], user: Path) -> tuple[str, ...]:
    """Finds the program; see :func:`find_home`.

    Raises:
        Missing: If it is not there.
    """
    if chosen.strip():
        place = Path(chosen.strip()).expanduser()
        for each in _programs(place):
            return _command(each)
        raise Missing(
            f"there is no redream in {place}: choose the program, the folder of its environment, "
            "or the checkout with its .venv"
        )
    on_path = shutil.which("redream", path=environ.get("PATH", os.defpath))
    usual = [user / each for each in _CHECKOUTS] + [user / ".local"]
    found = [Path(on_path)] if on_path else []
    for each in found + [program for place in usual for program in _programs(place)]:
        return _command(each)
    raise Missing("redream was not found: choose where it lives in the add-on's preferences")


def find_configs(program: Path, chosen: str) -> Path:
    """Finds the folder that has ``default.yaml``: the chosen one, else that of the checkout.

    Raises:
        Missing: If there is none.
    """
    if chosen.strip():
        place = Path(chosen.strip()).expanduser()
        for each in (place, place / "configs"):
            if (each / "default.yaml").is_file():
                return each
        raise Missing(f"there is no default.yaml in {place}: choose ReDream's folder configs")
    for path in (program.absolute(), program.resolve()):
        for above in path.parents:
            if (above / "configs" / "default.yaml").is_file():
                return above / "configs"
    raise Missing(
        f"no configs beside {program}: choose ReDream's folder configs in the add-on's preferences"
    )


def _programs(place: Path) -> Iterator[Path]:
    """The programs that a file or a folder may mean."""
    if place.is_file():
        yield place
        return
    for folder in (place, place / ".venv"):
        for scripts in (*_SCRIPTS, ""):
            for name in _PROGRAMS:
                if (folder / scripts / name).is_file():
                    yield folder / scripts / name


def _command(program: Path) -> tuple[str, ...]:
    is_python = program.name.lower().startswith("python")
    return (str(program.absolute()), *(("-m", "redream") if is_python else ()))
