"""The names of the embedded world: a config may say ``embedded:index`` instead of a path."""

import argparse
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

_NAME = re.compile(r"embedded:(\w+)")


def resolve(value: Any, find: Callable[[str], Path] | None = None) -> Any:  # noqa: ANN401
    """Replaces ``embedded:NAME`` by a path, anywhere in a value.

    Args:
        value: A string or path, or namespaces, dictionaries, lists and tuples of them; anything
            else is left alone.
        find: Gives the path of a name; by default the embedded world's, whose library is made in
            ReDream's cache folder when it is first named.

    Returns:
        A copy of the value with paths in the places of such names.

    Raises:
        ValueError: If the embedded world has nothing of that name.
    """
    find = find or _find
    if isinstance(value, str | Path):
        match = _NAME.fullmatch(str(value))
        return type(value)(find(match[1])) if match else value
    if isinstance(value, argparse.Namespace):
        return type(value)(**{key: resolve(each, find) for key, each in vars(value).items()})
    if isinstance(value, dict):
        return {key: resolve(each, find) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(resolve(each, find) for each in value)
    return value


def _find(name: str) -> Path:
    from redream.mini.prepare import PARTS, embedded_world  # the one door to the embedded world
    from redream.plugins import suggest

    if name not in PARTS:
        raise ValueError(f"embedded:{name} does not exist; {suggest(name, PARTS)}")
    with redirect_stdout(sys.stderr):  # progress is no part of a tool's answer
        path: Path = getattr(embedded_world(), name)
    return path
