"""Objects that were measured elsewhere: a record keeps their numbers when their folders are gone.

Records are committed, runs are not: each is some megabytes of films and meshes. So a table can grow
on another machine, or after a folder is lost, without what is known being made again.
"""

from argparse import ArgumentTypeError
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.paper.record import read_record

Key = tuple[str, str, int, str]
"""A run's method, prompt, seed and recipe."""
NOTHING: Mapping[Key, dict[str, Any]] = {}


def kept_objects(folder: str | Path) -> dict[Key, dict[str, Any]]:
    """The objects of all records in a folder.

    Args:
        folder: Of records, such as ``docs/images/results``.

    Returns:
        Objects as :meth:`experiments.paper.runs.Run.read` gives them, and all that was measured
        later. A run takes one only of its own recipe: numbers of other settings are not its.

    Raises:
        ArgumentTypeError: If the folder holds no record, or something else.
    """
    records = sorted(Path(folder).glob("*.json"))
    if not records:
        raise ArgumentTypeError(f"there is no record in {folder}")
    found: dict[Key, dict[str, Any]] = {}
    for path in records:
        try:
            numbers = read_record(path).numbers
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from error
        objects = numbers.get("objects", []) if isinstance(numbers, dict) else []
        for each in objects:
            if "recipe" in each:
                found[each["method"], each["prompt"], each["seed"], each["recipe"]] = each
    return found
