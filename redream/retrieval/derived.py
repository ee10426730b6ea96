"""What is made from an index and can be made again: search structures, other models' vectors."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from redream.files import cache_folder
from redream.plain_data import as_json, read_json
from redream.retrieval.index import EmbeddingIndex

_LOG = logging.getLogger(__name__)
_KEY = "key.json"

T = TypeVar("T")


def load_or_make(
    index: EmbeddingIndex,
    name: str,
    key: dict[str, Any],
    make: Callable[[], T],
    save: Callable[[T, Path], None],
    load: Callable[[Path], T],
) -> T:
    """Loads what was derived from an index before, or makes it and keeps it.

    It is kept in the index folder, or where that cannot be written in ``$REDREAM_CACHE``
    (``~/.cache/redream`` by default); where neither can, it is made again by each process. What
    was kept for another key, or is damaged, is made again. Each step is logged at info level.

    Args:
        index: The index.
        name: Folder of the derived files below the index, such as ``scann/text``.
        key: What they depend on, as JSON: hashes of the index's files, a model's name, settings.
        make: Makes the thing.
        save: Writes it into a new folder.
        load: Reads it from such a folder; never anything that executes, and ``OSError``,
            ``ValueError`` or ``RuntimeError`` where a file is damaged. Files that were cut short
            do not get there.

    Returns:
        What was loaded or made.
    """
    key = as_json(key)
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    cache = cache_folder()
    places = (index.path / name, cache / "derived" / digest / name)
    for folder in places:
        try:
            kept = read_json((folder / _KEY).read_text("utf-8"))
            if kept["key"] == key:
                _check_sizes(folder, kept["bytes"])
                return load(folder)
            _LOG.info("%s is of another index or other settings: made again", folder)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
            if folder.is_dir():
                _LOG.info("%s cannot be read (%s): made again", folder, error)
    _LOG.info("making %s of %s; a large index takes minutes, once", name, index.path)
    made = make()
    for folder in places:
        try:
            _keep(made, folder, key, save)
        except (OSError, RuntimeError) as error:  # read-only, full, or another process was faster
            _LOG.info("%s cannot be kept (%s)", folder, error)
        else:
            _LOG.info("kept %s", folder)
            break
    return made


def _keep(made: T, folder: Path, key: dict[str, Any], save: Callable[[T, Path], None]) -> None:
    """Writes a folder whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        save(made, building)
        written = {"key": key, "bytes": _sizes(building)}
        (building / _KEY).write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
        building.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(building, folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def _check_sizes(folder: Path, expected: dict[str, int]) -> None:
    """Notices files that were cut short: compiled readers may crash on them."""
    actual = _sizes(folder)
    for name, size in expected.items():
        if actual.get(name) != size:
            raise ValueError(f"{name} has {actual.get(name, 0)} bytes instead of {size}")


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.name != _KEY}
