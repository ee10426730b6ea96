"""The one door through which YAML and JSON come in: plain values only, and not too many of them.

An alias of YAML costs its author four characters and may stand for everything before it, so a few
lines can name more values than a computer can hold ("billion laughs"); brackets can be nested more
deeply than any reader's stack. Whatever a stranger can hand in is read here and nowhere else.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

MAX_VALUES = 100_000
"""Values of a YAML file, aliases expanded; ReDream's largest has some hundred."""
MAX_PARTS = 200
"""Classes that a config names, aliases expanded: each takes its time to be looked at."""
MAX_LETTERS = 1 << 19
"""Of a YAML file: its reader takes seconds for a megabyte."""
MAX_DEPTH = 100
"""Of nested lists and objects."""

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')


class TooMuch(yaml.YAMLError, ValueError):  # type: ignore[misc]
    """A file that expands to more than anyone would write."""


def read_yaml(source: str | Path, load: Callable[[str], Any] = yaml.safe_load) -> Any:  # noqa: ANN401
    """Reads YAML: a text, or a file.

    Args:
        source: The text or the file.
        load: What makes values of a text; it must make plain ones only.

    Raises:
        ValueError: If it is none, or stands for too much; one line.
        OSError: If the file cannot be read.
    """
    name = f"{source}: " if isinstance(source, Path) else ""
    if isinstance(source, Path) and source.stat().st_size > MAX_LETTERS:
        raise TooMuch(f"{name}it has more than {MAX_LETTERS >> 10} KiB")
    try:
        text = source.read_text("utf-8") if isinstance(source, Path) else source
        if len(text) > MAX_LETTERS:
            raise TooMuch(f"it has more than {MAX_LETTERS >> 10} KiB")
        value = load(text)
        require_bounded(value)
    except TooMuch as error:
        raise TooMuch(f"{name}{error}") from None
    except RecursionError:
        raise TooMuch(f"{name}it is nested too deeply") from None
    except yaml.YAMLError as error:
        if load is not yaml.safe_load:
            raise  # jsonargparse tells what is wrong in its own words
        raise ValueError(f"{name}it is no YAML: {' '.join(str(error).split())}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}it is no text in UTF-8: {error.reason}") from error
    return value


def read_json(source: str | bytes | Path) -> Any:  # noqa: ANN401
    """Reads JSON: a text, or a file.

    Raises:
        ValueError: If it is none, or nested more deeply than anyone would write.
        OSError: If the file cannot be read.
    """
    text = source.read_bytes() if isinstance(source, Path) else source
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if _depth(data) > MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def as_json(value: Any) -> Any:  # noqa: ANN401
    """What a value is after it was written as JSON and read again."""
    return json.loads(json.dumps(value))


def require_bounded(value: Any) -> None:  # noqa: ANN401
    """Refuses a value of lists and dictionaries that stands for too much, or holds itself.

    Raises:
        ValueError: If it does; a few words.
    """
    try:
        count, parts = _count(value, {}, _one), _count(value, {}, _names_a_class)
    except RecursionError:
        raise TooMuch("it is nested too deeply") from None
    if count > MAX_VALUES:
        raise TooMuch(f"its aliases stand for more than {MAX_VALUES} values")
    if parts > MAX_PARTS:
        raise TooMuch(f"it names more than {MAX_PARTS} classes")
    if _count(value, {}, _is_huge):
        raise TooMuch(f"it has a whole number above {sys.float_info.max:g}")


def _depth(data: bytes) -> int:
    """How deeply brackets are nested, those in strings left out."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return 0
    letters = np.frombuffer(_STRING.sub(b"", data), dtype=np.uint8)
    opened = np.isin(letters, np.frombuffer(b"[{", dtype=np.uint8)).astype(np.int32)
    closed = np.isin(letters, np.frombuffer(b"]}", dtype=np.uint8)).astype(np.int32)
    return int((opened - closed).cumsum().max(initial=0))


def _one(value: object) -> int:
    return 1


def _names_a_class(value: object) -> int:
    return int(isinstance(value, dict) and "class_path" in value)


def _is_huge(value: object) -> int:
    return int(isinstance(value, int) and abs(value) > sys.float_info.max)


def _count(
    value: Any,  # noqa: ANN401
    known: dict[int, float],
    worth: Callable[[Any], int],
    depth: int = 0,
) -> float:
    """What a value and all in it are worth, each alias counted; infinite where one holds itself."""
    if depth > MAX_DEPTH:
        raise RecursionError
    if not isinstance(value, dict | list | tuple | set):
        return worth(value)
    if id(value) not in known:
        known[id(value)] = float("inf")
        inside = [*value, *value.values()] if isinstance(value, dict) else value
        of_inside = sum(_count(each, known, worth, depth + 1) for each in inside)
        known[id(value)] = worth(value) + of_inside
    return known[id(value)]
