"""Whose a glTF file is, where other programs keep it: on its nodes, beside ``asset.extras``.

An editor makes objects of nodes and has nothing to make of ``asset``: Blender's importer drops
``asset.extras``, keeps the extras of nodes as custom properties, and its exporter writes them again
where it is told to.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

Stated = Mapping[str, Any]

BETWEEN = {"author": "; ", "license": " + ", "source": "; "}
"""What stands between the words of several assets in one text."""

_WHOSE = {"author", "license"}
_BETWEEN_LICENSES = re.compile(r" \+ (?![^(]*\))")  # not where a licence's brackets have a plus


def node_extras(extras: Stated) -> dict[str, str]:
    """A file's extras as texts that an artist reads in an editor's list of properties.

    Args:
        extras: What ``asset.extras`` says: ``title``, ``generator``, ``author``, ``license``,
            ``source``, and ``attribution``, a dictionary per asset.

    Returns:
        The same keys; ``author``, ``license`` and ``source`` of all assets, and ``attribution`` as
        a sentence.
    """
    listed = _listed(extras)
    plain = {key: text for key, value in extras.items() if (text := _text(value))}
    told = {"attribution": "; ".join(map(_sentence, listed))} if listed else {}
    return {**joined(listed), **plain, **told}


def stated_extras(header: Stated) -> dict[str, Any]:
    """What a glTF file says of itself: ``asset.extras``, else the extras of what it holds.

    Args:
        header: The file's JSON.

    Returns:
        The extras, with ``author``, ``license`` and ``source`` of all assets that they name.
    """
    extras = _extras(header.get("asset", {}))
    stated = {**joined(_listed(extras)), **extras}
    if stated.keys() & _WHOSE:
        return stated
    kinds = ("scenes", "nodes", "meshes", "materials")
    inside = [_extras(each) for kind in kinds for each in header.get(kind, ())]
    return {**joined(each for each in inside if each.keys() & _WHOSE), **stated}


def joined(stated: Iterable[Stated]) -> dict[str, str]:
    """Author, license and source of several assets, each word once.

    Args:
        stated: What is said of each; keys may be missing.

    Returns:
        The keys that somebody states.
    """
    each_stated, found = list(stated), {}
    for key, between in BETWEEN.items():
        values = [text for each in each_stated if (text := _text(each.get(key)))]
        split = split_licenses if key == "license" else lambda text: text.split("; ")
        parts = dict.fromkeys(part for value in values for part in split(value))
        if parts:
            found[key] = between.join(parts)
    return found


def split_licenses(text: str) -> list[str]:
    """The licences of a text that :func:`joined` made."""
    return _BETWEEN_LICENSES.split(text)


def _sentence(asset: Stated) -> str:
    """For example ``a dog by Anna, licence by, https://...``."""
    who = {key: _text(asset.get(key)) for key in ("caption", "author", "license", "source")}
    facts = [
        f"{who['caption']} by {who['author'] or 'unknown'}",
        f"licence {who['license'] or 'unknown'}",
        who["source"],
    ]
    return ", ".join(filter(None, facts)).strip()


def _listed(extras: Stated) -> list[Stated]:
    listed = extras.get("attribution")
    if not isinstance(listed, list):  # our own words on a node are a text
        return []
    return [each for each in listed if isinstance(each, Mapping)]


def _extras(part: Stated) -> Stated:
    extras = part.get("extras")
    return extras if isinstance(extras, Mapping) else {}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
