"""The presets: ReDream's configurations, by what stands in their files.

A file with a prompt of its own is whole. Another is laid over the whole one that its first comment
names, by default over ``default.yaml``. The lines are read as text: Blender's Python has no YAML.
"""

import re
from pathlib import Path
from typing import NamedTuple

from .finding import Missing

DEFAULT = "default"
OWN_ASSET = "own_asset"  # laid over the default where the selection is the asset
_NAMED = re.compile(r"configs/([\w-]+)\.yaml")
_LONGEST = 160


class Preset(NamedTuple):
    """A preset.

    Attributes:
        name: Its file's path below the configs, without the suffix.
        label: What people read.
        about: What its file says first.
        files: What is laid over what, the lowest first.
    """

    name: str
    label: str
    about: str
    files: tuple[Path, ...]


def read_presets(configs: Path) -> list[Preset]:
    """Reads a folder of configs; the default comes first, ``methods/`` last.

    Raises:
        Missing: If there is none.
    """
    found = sorted(configs.glob("*.yaml")) + sorted((configs / "methods").glob("*.yaml"))
    texts = {path: _text(path) for path in found}
    whole = {path.stem: path for path, text in texts.items() if re.search(r"(?m)^prompt:", text)}
    presets = []
    for path, text in texts.items():
        comment = _first_comment(text)
        below = [whole[name] for name in _NAMED.findall(comment) if name in whole]
        below += [whole[DEFAULT]] if DEFAULT in whole else []
        is_whole = whole.get(path.stem) == path
        if path.stem == OWN_ASSET or not (is_whole or below):
            continue
        name = path.relative_to(configs).with_suffix("").as_posix()
        label = name.removeprefix("methods/").replace("_", " ")
        files = (path,) if is_whole else (below[0], path)
        presets.append(Preset(name, label, _first_sentence(comment), files))
    if not presets:
        raise Missing(f"there is no preset in {configs}: choose ReDream's folder configs")
    return sorted(presets, key=lambda each: each.name != DEFAULT)  # stable: the rest as it was


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise Missing(f"cannot read {path}: {error}") from error


def _first_comment(text: str) -> str:
    """The comment that a file begins with, without its signs."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[1:].removeprefix(" "))
    return "\n".join(lines)


def _first_sentence(comment: str) -> str:
    """What comes before an example or the first full stop, on one line."""
    words = re.split(r"\n\s{2,}|\n\s*\n", comment)[0]
    line = " ".join(words.split())
    sentence = re.match(r".+?[^.]{3}[.](?=\s|$)", line)
    line = (sentence.group() if sentence else line).rstrip(".:; ")
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3].rstrip() + "..."
