"""Where the configs are, and what each is: read from the files, of which nobody keeps a list."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import redream
from redream.plain_data import read_yaml

_COMMAND = re.compile(r"redream fit((?:\s+--config\s+\S+\.yaml)+)")
_OVER = re.compile(r"\b[Oo]ver (configs/[\w/]+\.yaml)")
_SENTENCE = re.compile(r"(?:(?<!\bal)(?<!\bApp)(?<!\bEq)(?<!\bFig)\.|(?<=\?))(?:\s|$)")


class Config(NamedTuple):
    """A config, with those that it is laid over.

    Attributes:
        name: Its name below the folder of configs, without the ending.
        title: The first sentence of its own comment.
        files: Itself last, those beneath before it.
        values: What they say together.
    """

    name: str
    title: str
    files: tuple[Path, ...]
    values: dict[str, Any]


def config_folder(started_in: Path) -> Path | None:
    """Where ReDream's configs are: where one works, beside the package, or in it.

    Args:
        started_in: The folder that the command was started in.

    Returns:
        The first ``configs`` with a ``default.yaml``; None where there is none.
    """
    package = Path(redream.__file__).parent
    places = (started_in / "configs", package.parent / "configs", package / "configs")
    return next((each for each in places if (each / "default.yaml").is_file()), None)


def find_configs(folder: Path) -> list[Config]:
    """The configs of a folder and of ``methods`` below it; one that is no YAML is left out."""
    found = []
    for path in [*sorted(folder.glob("*.yaml")), *sorted((folder / "methods").glob("*.yaml"))]:
        name = path.relative_to(folder).with_suffix("").as_posix()
        try:
            found.append(read_config(path, name, folder))
        except (OSError, ValueError):
            continue
    return sorted(found, key=lambda each: (each.name != "default", "/" in each.name, each.name))


def read_config(path: Path, name: str, folder: Path | None = None) -> Config:
    """Reads a config and finds out what it is laid over.

    Args:
        path: The file.
        name: What it is called.
        folder: Where the configs are that it may be laid over.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no config.
    """
    comment = _comment(path.read_text("utf-8"))
    files = tuple(_beneath(path, comment, folder))
    values: dict[str, Any] = {}
    for each in files:
        tree = read_yaml(each)
        if not isinstance(tree, dict):
            raise ValueError(f"{each} has no keys")
        values = laid_over(values, tree)
    words = re.sub(r"^Over configs/[^:]+: *", "", " ".join(comment))
    sentence = _SENTENCE.split(words, maxsplit=1)[0].strip()
    return Config(name, sentence[:1].upper() + sentence[1:], files, values)


def laid_over(values: Mapping[str, Any], tree: Mapping[str, Any]) -> dict[str, Any]:
    """Values with others over them, as a config is laid over another.

    A class that takes the place of another brings its own arguments.
    """
    merged = dict(values)
    for key, each in tree.items():
        old = merged.get(key)
        if not isinstance(old, dict) or not isinstance(each, dict):
            merged[key] = each
        elif "class_path" in each and each["class_path"] != old.get("class_path"):
            merged[key] = dict(each)
        else:
            merged[key] = laid_over(old, each)
    return merged


def value_at(values: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401
    """A value by its dotted key; None where it is not there."""
    found: Any = values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def every_value(tree: Any, key: str = "") -> Iterable[tuple[str, Any]]:  # noqa: ANN401
    """Every plain value of a tree with its own key, at any depth."""
    if isinstance(tree, dict):
        for name, each in tree.items():
            yield from every_value(each, str(name))
    elif isinstance(tree, list):
        for each in tree:
            yield from every_value(each, key)
    else:
        yield key, tree


def _comment(text: str) -> list[str]:
    """The lines of the comment that a file begins with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[1:].strip())
    return lines


def _beneath(path: Path, comment: Sequence[str], folder: Path | None) -> list[Path]:
    """The files that a config is laid over, as its own comment says, and itself."""
    if folder is None:
        return [path]
    command = _COMMAND.search(" ".join(comment))
    if command:
        *named, last = re.findall(r"--config\s+(\S+\.yaml)", command[1])
        beneath = [folder / each.removeprefix("configs/") for each in named]
        if Path(last).name == path.name and all(each.is_file() for each in beneath):
            return [*beneath, path]
    over = _OVER.search(" ".join(comment))
    if over and (folder / over[1].removeprefix("configs/")).is_file():
        return [folder / over[1].removeprefix("configs/"), path]
    return [path]
