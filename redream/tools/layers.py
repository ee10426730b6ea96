"""Configurations that are laid over one another, as jsonargparse lays them."""

from collections.abc import Mapping
from typing import Any


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """One tree over another; a class of another name brings its own arguments alone."""
    if above.get("class_path", below.get("class_path")) != below.get("class_path"):
        return dict(above)
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result
