"""What a command line says of stages: runs that follow one another, each from the one before.

A config with the key ``stages`` describes them in order, each an overlay on the rest::

    stages:
      nerf: {config: default.yaml}
      texture:
        config: default.yaml
        model:
          representation:
            class_path: Mesh
            init_args: {init_from: "stage:previous"}

``config`` names files to lay below, relative to the file that says so. ``stage:previous`` is the
last checkpoint of the stage before, ``stage:NAME`` that of an earlier one, ``stage:NAME/adapter``
what lies in its folder.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redream.plain_data import read_yaml
from redream.plugins import suggest
from redream.tools.layers import merged

_REFERENCE = "stage:"


@dataclass
class Stage:
    """One stage.

    Attributes:
        name: Its name.
        overlay: What its config says, as a tree.
        below: Config files that its overlay lies on.
        options: Options of the command line for this stage alone.
    """

    name: str
    overlay: dict[str, Any]
    below: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)


@dataclass
class Command:
    """A command line with stages.

    Attributes:
        stages: The stages, in order.
        configs: Its config files.
        options: Its other options, for every stage.
        only: The stage to run alone; None runs all.
        resume: Value of ``--ckpt_path``; None starts anew.
    """

    stages: list[Stage]
    configs: list[str]
    options: list[str]
    only: str | None = None
    resume: str | None = None

    def arguments(self, stage: Stage, before: Mapping[str, Path], *more: str) -> list[str]:
        """The command line of one stage, an ordinary run.

        Args:
            stage: The stage.
            before: Folders of the stages before it, in order.
            *more: Options that win over all others.

        Raises:
            ValueError: If it starts from a stage that is not before it.
        """
        overlay = json.dumps(_resolve(stage.overlay, before) | {"stages": None})
        files = [*stage.below, *self.configs, overlay]
        return [*(f"--config={each}" for each in files), *self.options, *stage.options, *more]


def read_stages(arguments: Sequence[str]) -> Command | None:
    """Reads the stages of a command line; None where it has none.

    Args:
        arguments: The command line after the verb.

    Raises:
        ValueError: If stages are described wrongly; one line.
    """
    configs: list[str] = []
    options: list[str] = []
    own: list[tuple[str, str]] = []
    named: dict[str, str] = {}
    for option, value in _options(arguments):
        if option in ("--config", "-c") and value is not None:
            configs.append(value)
        elif option in ("--stage", "--ckpt_path") and value is not None:
            named[option] = value
        elif option.startswith("--stages.") and value is not None:
            own.append((option.removeprefix("--stages."), value))
        else:
            options.append(option if value is None else f"{option}={value}")
    found: dict[str, Stage] = {}
    for path in configs:
        _add_file(found, path)
    if not found:
        if "--stage" in named or own:
            raise ValueError(
                "there are no stages: name a config that has some, as configs/stages.yaml"
            )
        return None
    for key, value in own:
        name, _, rest = key.partition(".")
        if name not in found:
            raise ValueError(f"there is no stage {name!r}; {suggest(name, found)}")
        if rest:
            found[name].options.append(f"--{rest}={value}")
        elif read_yaml(value) is None:
            del found[name]
        else:
            raise ValueError(f"--stages.{name} takes null, to leave the stage out, or a key of it")
    only = named.get("--stage")
    if only is not None and only not in found:
        raise ValueError(f"there is no stage {only!r}; {suggest(only, found)}")
    if not found:
        raise ValueError("every stage is left out")
    resume = named.get("--ckpt_path")
    if only is None and resume not in (None, "last"):
        raise ValueError(
            f"--ckpt_path {resume}: several stages go on from `last`; for one of them say which, "
            "as in --stage geometry"
        )
    return Command(list(found.values()), configs, options, only, resume)


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Options with their values; None for a flag."""
    waiting = list(arguments)
    while waiting:
        option, equals, value = waiting.pop(0).partition("=")
        if equals:
            yield option, value
        elif waiting and not waiting[0].startswith("--"):
            yield option, waiting.pop(0)
        else:
            yield option, None


def _add_file(found: dict[str, Stage], path: str) -> None:
    """Lays the stages of a config file over those that there are."""
    try:
        tree = read_yaml(Path(path))
    except (OSError, ValueError):
        return  # the parser says what is wrong with it
    stages = tree.get("stages") if isinstance(tree, dict) else None
    if stages is None:
        return
    if not isinstance(stages, dict):
        raise ValueError(f"{path}: stages must be names with what is different in each")
    for name, overlay in stages.items():
        if overlay is None:
            found.pop(name, None)
            continue
        if not isinstance(overlay, dict):
            raise ValueError(f"{path}: the stage {name} must be a tree of keys, or null")
        if not re.fullmatch(r"[\w-]+", str(name)):
            raise ValueError(
                f"{path}: the stage {name!r} must be named by letters, digits, _ and -"
            )
        stage = found.setdefault(str(name), Stage(str(name), {}))
        below = overlay.get("config", [])
        names = [below] if isinstance(below, str) else below
        if not (isinstance(names, list) and all(isinstance(each, str) for each in names)):
            raise ValueError(f"{path}: the stage {name} must name config files, not {below!r:.60}")
        _require_options(overlay, f"{path}: the stage {name}")
        stage.below += [str(Path(path).parent / each) for each in names]
        stage.overlay = merged(
            stage.overlay, {key: value for key, value in overlay.items() if key != "config"}
        )


def _require_options(value: Any, where: str) -> None:  # noqa: ANN401
    """Refuses what YAML can write and no option takes.

    Raises:
        ValueError: If there is a date, a set, bytes or the like.
    """
    if isinstance(value, Mapping):
        for key, each in value.items():
            _require_options(each, f"{where}: {key}")
    elif isinstance(value, list):
        for each in value:
            _require_options(each, where)
    elif not (value is None or isinstance(value, str | int | float)):
        raise ValueError(f"{where}: no option takes a {type(value).__name__}: write it as text")


def _resolve(value: Any, before: Mapping[str, Path]) -> Any:  # noqa: ANN401
    """A copy with paths in the places of ``stage:NAME``."""
    if isinstance(value, Mapping):
        return {key: _resolve(each, before) for key, each in value.items()}
    if isinstance(value, list):
        return [_resolve(each, before) for each in value]
    if not (isinstance(value, str) and value.startswith(_REFERENCE)):
        return value
    name, _, rest = value.removeprefix(_REFERENCE).partition("/")
    names = list(before)
    name = names[-1] if name == "previous" and names else name
    if name not in before:
        raise ValueError(f"{value}: there is no such stage before; {suggest(name, names)}")
    return str(before[name] / (rest or "checkpoints/last.ckpt"))
