"""Reads YAML that may be a stranger's: plain values only, and not too many of them.

An alias costs a config's author four characters and may stand for everything before it, so a few
lines can name more values than a computer can hold ("billion laughs").
"""

import sys
from collections.abc import Callable
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

MAX_VALUES = 100_000
"""Values of a config, aliases expanded; ReDream's largest has some hundred."""
MAX_PARTS = 200
"""Classes that a config names, aliases expanded: each takes its time to be looked at."""


class TooMuch(yaml.YAMLError):  # type: ignore[misc]
    """A config that expands to more than anyone would write."""


def bound_configs() -> None:
    """Lets jsonargparse read YAML within bounds; once or again."""
    load = get_loader("yaml")
    if not isinstance(load, _Bounded):
        set_loader("yaml", _Bounded(load), (yaml.YAMLError,))


class _Bounded:
    """A loader that refuses what expands to too many values."""

    def __init__(self, load: Callable[[str], Any]) -> None:
        self._load = load

    def __call__(self, text: str) -> Any:  # noqa: ANN401
        value = self._load(text)
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
        return value


def _one(value: object) -> int:
    return 1


def _names_a_class(value: object) -> int:
    return int(isinstance(value, dict) and "class_path" in value)


def _is_huge(value: object) -> int:
    return int(isinstance(value, int) and abs(value) > sys.float_info.max)


def _count(value: Any, known: dict[int, float], worth: Callable[[Any], int]) -> float:  # noqa: ANN401
    """What a value and all in it are worth, each alias counted; infinite where one holds itself."""
    if not isinstance(value, dict | list):
        return worth(value)
    if id(value) not in known:
        known[id(value)] = float("inf")
        inside = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = worth(value) + sum(_count(each, known, worth) for each in inside)
    return known[id(value)]
