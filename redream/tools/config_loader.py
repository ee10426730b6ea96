"""Lets jsonargparse read a config's YAML through ReDream's own door."""

from collections.abc import Callable
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from redream.plain_data import read_yaml


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
        return read_yaml(text, self._load)
