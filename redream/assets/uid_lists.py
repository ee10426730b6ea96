"""Curated lists of assets, as others publish them: TRELLIS-500K, Step1X-3D, G-Objaverse, LVIS."""

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from redream.plain_data import read_json

_COLUMNS = ("uid", "uids", "object_id", "file_identifier", "fileidentifier", "object_uid", "id")
_OBJAVERSE = re.compile(r"([0-9a-f]{32})(?:\.glb)?/?$")


def read_uid_list(path: str | Path) -> dict[str, None]:
    """Reads which assets a list names.

    Args:
        path: A ``.json`` file: a list of uids or of objects that have one, an object by uid, or an
            object of categories with their lists. Or text: a CSV whose header has one of the
            columns ``uid``, ``object_id``, ``file_identifier`` or ``id``; else a uid in each line,
            or in its first column. A path or an address ends with its uid, with or without
            ``.glb``.

    Returns:
        The uids in the list's order, each once.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or names none.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no list of uids at {path}")
    try:
        if path.suffix.lower() == ".json":
            named: Iterable[str] = _json_names(read_json(path.read_text(encoding="utf-8-sig")))
        else:
            with path.open(newline="", encoding="utf-8-sig") as file:
                named = _column(list(csv.reader(file)))
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise ValueError(f"{path} is no list of uids ({error})") from error
    uids = dict.fromkeys(uid for name in named if (uid := plain_uid(name)))
    if not uids:
        raise ValueError(f"{path} names no uid: give a JSON list, or a CSV with a column uid")
    return uids


def plain_uid(name: str) -> str:
    """The uid that a path or an address ends with: Objaverse's where it is one, else as it is."""
    name = name.strip()
    found = _OBJAVERSE.search(name)
    return found[1] if found else name


def _column(rows: list[list[str]]) -> Iterable[str]:
    header = [name.strip().lower() for name in rows[0]] if rows else []
    place = next((header.index(name) for name in _COLUMNS if name in header), None)
    if place is None:
        return (row[0] for row in rows if row)
    return (row[place] for row in rows[1:] if len(row) > place)


def _json_names(read: Any) -> list[str]:  # noqa: ANN401
    if isinstance(read, dict):
        lists = [each for each in read.values() if isinstance(each, list)]
        if not lists:
            return list(read)
        read = [name for each in lists for name in each]
    if not isinstance(read, list):
        raise ValueError("its JSON is neither a list nor an object")
    names = []
    for each in read:
        if isinstance(each, dict):
            keys = {key.lower(): value for key, value in each.items()}
            each = next((keys[name] for name in _COLUMNS if name in keys), None)
        if not isinstance(each, str | int):
            raise ValueError(f"an entry has no uid: {str(each)[:40]}")
        names.append(str(each))
    return names
