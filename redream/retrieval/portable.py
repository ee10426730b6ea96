"""Class references whose file paths survive a move of the index together with what they name."""

import os
from pathlib import Path
from typing import Any

_PREFIX = "local-dir:"

Reference = dict[str, Any]


def make_portable(reference: Reference, index: Path) -> Reference:
    """Makes paths relative to the index where both lie in one folder, or the index in the path.

    Args:
        reference: ``init_args``, and ``class_path`` or whatever else; paths are absolute.
        index: The index folder.

    Returns:
        The reference with ``relative``, the names of the arguments that were made relative.
    """
    index = index.resolve()
    arguments, relative = dict(reference["init_args"]), []
    for name, value in arguments.items():
        prefix, path = _split(value)
        if path is None or not path.is_absolute():
            continue
        if path.is_relative_to(index.parent) or index.is_relative_to(path):
            arguments[name] = prefix + Path(os.path.relpath(path, index)).as_posix()
            relative.append(name)
    return {**reference, "init_args": arguments, "relative": relative}


def resolve(reference: Reference, index: Path) -> Reference:
    """The inverse of :func:`make_portable` at wherever the index is now."""
    arguments = dict(reference["init_args"])
    for name in reference.get("relative", []):
        prefix, path = _split(arguments[name])
        if path is not None:
            arguments[name] = prefix + os.path.normpath(index.resolve() / path)
    return {
        key: value
        for key, value in {**reference, "init_args": arguments}.items()
        if key != "relative"
    }


def _split(value: object) -> tuple[str, Path | None]:
    """A ``local-dir:`` prefix and the path behind it; no path where the value is no text."""
    if not isinstance(value, str):
        return "", None
    prefix = _PREFIX if value.startswith(_PREFIX) else ""
    return prefix, Path(value[len(prefix) :])
