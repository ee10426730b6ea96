"""An asset's record from what its annotation, or its own file, says of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redream.assets.attribution import attribution
from redream.assets.credits import stated_extras
from redream.assets.gltf import num_shown_triangles, read_header
from redream.types import Asset

Stated = Mapping[str, Any]


def asset_record(uid: str, caption: str, source: str, *stated: Stated) -> Asset:
    """Puts together a record; of each field the first source that states it counts.

    Args:
        uid: The identifier.
        caption: The caption.
        source: Where the asset is from, unless a source says so.
        *stated: Annotations (Objaverse's or our own) or :func:`file_facts`, best first.

    Returns:
        The record.
    """
    if not stated:
        return Asset(uid, caption, source=source)
    who = attribution(*stated)
    return Asset(
        uid,
        caption,
        license=who.get("license", "unknown"),
        author=who.get("author", "unknown"),
        source=who.get("source", source),
        categories=next(filter(None, map(_categories, stated)), ()),
        num_faces=_first_count(stated, "num_faces", "faceCount"),
        num_animations=_first_count(stated, "num_animations", "animationCount"),
    )


def file_facts(path: Path) -> dict[str, Any]:
    """What a glTF file's JSON states: whose it is, and how much there is to draw.

    No buffer is read. A broken file states nothing, and reports itself when it is loaded; neither
    does an OBJ or PLY file.

    Returns:
        Extras (author, license, source, title) of the file, or of its nodes where an editor has
        dropped the file's, and ``num_faces`` and ``num_animations``.
    """
    if path.suffix.lower() not in (".glb", ".gltf"):
        return {}
    try:
        header = read_header(path)
        extras = stated_extras(header)
        counts = {
            "num_faces": num_shown_triangles(header),
            "num_animations": len(header.get("animations", ())),
        }
    except (ValueError, ArithmeticError, OSError, LookupError, TypeError, AttributeError):
        return {}
    return {**extras, **counts}


def _categories(stated: Stated) -> tuple[str, ...]:
    """Category names; Objaverse has ``[{"name": ...}]``, our own annotations plain names."""
    listed = stated.get("categories")
    names = [
        each.get("name") if isinstance(each, Mapping) else each
        for each in (listed if isinstance(listed, (list, tuple)) else ())
    ]
    return tuple(name for name in names if isinstance(name, str) and name)


def _first_count(sources: tuple[Stated, ...], *keys: str) -> int | None:
    """The first whole number that a source states under one of the keys."""
    values = (stated.get(key) for stated in sources for key in keys)
    return next((int(v) for v in values if isinstance(v, (int, float)) and v == v // 1), None)
