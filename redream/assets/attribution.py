"""Who made an asset and under which licence: found, and written beside every result."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from redream.assets.credits import split_licenses
from redream.escaping import in_markdown
from redream.files import whole_file
from redream.types import Asset

_SPELLINGS = {
    r"non[\s-]*commercial": "nc",
    r"no[\s-]*deriv(?:ative)?s?(?:[\s-]+works?)?": "nd",
    r"share[\s-]*alike": "sa",
    r"attribution": "by",
    r"creative[\s-]*commons(?:\.org)?": "cc",
    r"public[\s-]*domain": "cc0",
    r"cc[\s-]*(?:0|zero)|/zero/": "cc0",
}
_ORDER = ("by", "nc", "nd", "sa")
_FORMAL = frozenset(
    "cc http https www licenses licence license deed en legalcode international intl unported "
    "generic universal dedication mark de us uk fr jp es it nl au".split()
)
"""What may stand beside the terms: words that no sentence about something else is made of."""


def short_license(text: str) -> str:
    """Reduces a licence's many spellings to Objaverse's short code.

    Args:
        text: For example ``CC-BY-NC-4.0 (http://creativecommons.org/...)``, ``CC0 1.0``, ``by-sa``.

    Returns:
        ``cc0``, ``by``, ``by-nc``, ``by-sa``, ...; the text itself, lower case, where it says
        anything else or more than that: "all rights reserved by" somebody is no ``by``. ``unknown``
        where it is empty. Of several, as in ``by + by-nc``, each.
    """
    return " + ".join(dict.fromkeys(map(_code, split_licenses(text))))


def _code(text: str) -> str:
    name = text.split("(")[0].strip().lower()
    if not name:
        return "unknown"
    plain = name
    for spelling, term in _SPELLINGS.items():
        plain = re.sub(spelling, f" {term} ", plain)
    words = {word for word in re.split(r"[^a-z0-9]+", plain) if not re.fullmatch(r"v?\d*", word)}
    terms = words - _FORMAL
    if terms == {"cc0"}:
        return "cc0"
    if "by" in terms and terms <= set(_ORDER):
        return "-".join(term for term in _ORDER if term in terms)
    return name


def attribution(*sources: Mapping[str, Any]) -> dict[str, str]:
    """License, author and source: for each the first of the sources that states it.

    Args:
        *sources: Annotations (Objaverse's or our own) or a GLB's ``asset.extras``, best first.

    Returns:
        The keys ``license``, ``author`` and ``source``; those that nobody states are missing.
    """
    found: dict[str, str] = {}
    for source in sources:
        user = source.get("user")
        author = source.get("author") or (
            user.get("displayName") or user.get("username") if isinstance(user, Mapping) else user
        )
        stated = {
            "license": short_license(str(source.get("license") or "")),
            "author": author,
            "source": source.get("source") or source.get("viewerUrl") or source.get("uri"),
        }
        for key, value in stated.items():
            if value and value != "unknown":
                found.setdefault(key, str(value))
    return found


def model_extras(prompt: str, assets: Sequence[Asset]) -> dict[str, Any]:
    """What an exported model says of itself: the prompt, and the assets that it was made from.

    Args:
        prompt: The user's prompt.
        assets: The retrieved assets, best first.

    Returns:
        ``title``, ``generator`` and ``attribution``, a dictionary per asset with ``uid``,
        ``caption``, ``author``, ``license`` and ``source``.
    """
    names = ("uid", "caption", "author", "license", "source")
    attribution = [{name: getattr(asset, name) for name in names} for asset in assets]
    return {"title": prompt, "generator": "ReDream", "attribution": attribution}


def comment_lines(extras: Mapping[str, Any]) -> list[str]:
    """The same as lines of text, for formats that have comments."""
    lines = [f"{key}: {value}" for key, value in extras.items() if key != "attribution"]
    for each in extras.get("attribution", ()):
        facts = "; ".join(f"{key} {value}" for key, value in each.items() if value)
        lines.append(f"attribution: {facts}")
    return [" ".join(line.split()) for line in lines]


def are_of_several(assets: Sequence[Asset]) -> bool:
    """Whether assets are of more than one source, so that each has to say of which."""
    return len({asset.origin for asset in assets}) > 1


def write_attribution(prompt: str, assets: Sequence[Asset], path: Path) -> None:
    """Writes ``attribution.md``: the assets a result was made from, with author and licence.

    Args:
        prompt: The user's prompt.
        assets: The retrieved assets, best first.
        path: A ``.md`` file.
    """
    lines = [f"# {in_markdown(prompt)}", ""]
    if assets:
        lines += ["Made by ReDream from the prompt above and these 3D assets:", ""]
    else:
        lines += ["Made by ReDream from the prompt above alone; no asset was retrieved.", ""]
    several = are_of_several(assets)
    for asset in assets:
        lines += [
            f"## {in_markdown(asset.caption or asset.uid)}",
            "",
            f"- uid: {in_markdown(asset.uid)}",
            f"- author: {in_markdown(asset.author)}",
            f"- license: {in_markdown(asset.license)}",
            f"- source: {in_markdown(asset.source or 'not stated')}",
        ]
        if several or asset.origin != "library":
            lines.append(f"- taken from: {in_markdown(asset.origin)}")
        scores = ", ".join(f"{name} {score:.3f}" for name, score in asset.scores.items())
        lines += [f"- similarity: {scores}", ""] if scores else [""]
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")
