"""The words of the embedded world and the sentences made of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from redream.mini.categories import CATEGORIES
from redream.mini.materials import COLOURS, MATERIALS

VIEW_WORDS: dict[str, str] = {"front": "front view", "side": "side view", "back": "back view"}

# The library's base colours: dusty, as of clay; the words appear in captions too.
CLAY_COLOURS: dict[str, tuple[float, float, float]] = {
    "grey": (0.62, 0.62, 0.63),
    "beige": (0.82, 0.74, 0.62),
    "terracotta": (0.74, 0.45, 0.34),
    "cream": (0.90, 0.86, 0.76),
    "slate": (0.44, 0.49, 0.55),
    "sage": (0.62, 0.69, 0.57),
    "rose": (0.79, 0.60, 0.60),
    "taupe": (0.56, 0.49, 0.44),
}

_FUNCTION_WORDS = "a an the photo picture render of on background normal map clay model view"
VOCABULARY: frozenset[str] = frozenset(
    [
        *_FUNCTION_WORDS.split(),
        *CATEGORIES,
        *MATERIALS,
        *COLOURS,
        *CLAY_COLOURS,
        *VIEW_WORDS,
        "white",
    ]
)

_COLOUR_SHARE = 0.7
_PLAIN_SHARE = 0.3
_OPENINGS = ("", "", "", "a photo of ", "a picture of ", "a render of ")


def words(text: str) -> list[str]:
    """The words of a caption, lowercase and without punctuation."""
    return text.lower().replace(",", " ").replace(".", " ").split()


def caption(
    category: str,
    material: str,
    colour: str,
    view: str | None,
    background: str | None,
    normal_map: bool,
    rng: np.random.Generator,
) -> str:
    """Describes a picture.

    Args:
        category: A key of ``CATEGORIES``.
        material: A key of ``MATERIALS``.
        colour: A key of ``COLOURS``; said in 70% of the captions of materials that show it.
        view: ``front``, ``side``, ``back`` or None to leave it out.
        background: The background's colour, said in a quarter of the captions, or None.
        normal_map: Whether the picture shows normals; colour and material go unsaid then.
        rng: Chooses among phrasings.

    Returns:
        For example ``"a red striped dog, side view"`` or ``"side view of a red striped dog"``.
    """
    if normal_map:
        return "a normal map of " + _with_article(category) + _suffix(view)
    adjectives = []
    if MATERIALS[material].has_colour and rng.random() < _COLOUR_SHARE:
        adjectives.append(colour)
    if material != "plain" or rng.random() < _PLAIN_SHARE:
        adjectives.append(material)
        if material == "plain":
            adjectives.reverse()  # "a plain red dog", but "a red striped dog"
    opening = str(rng.choice(_OPENINGS))
    if opening and view is not None:  # half of the view words stand first, half last
        opening, view = f"{VIEW_WORDS[view]} of ", None
    text = opening + _with_article(" ".join([*adjectives, category]))
    if background is not None and rng.random() < 0.25:
        text += f" on {_with_article(background)} background"
    return text + _suffix(view)


def clay_caption(category: str, colour: str, view: str | None, rng: np.random.Generator) -> str:
    """Describes an asset of the library, whose colour is a key of ``CLAY_COLOURS``."""
    phrases = (
        _with_article(f"{colour} {category}"),
        _with_article(f"plain {colour} {category}"),
        f"a clay model of {_with_article(category)}",
        f"a {colour} clay model of {_with_article(category)}",
        _with_article(f"clay {category}"),
    )
    return str(rng.choice(phrases)) + _suffix(view)


def short_caption(record: Mapping[str, Any]) -> str:
    """What a user would ask for to see a picture: no colour, no background, no opening.

    Args:
        record: A picture's fields, as of :class:`redream.mini.world.Sample`.

    Returns:
        For example ``"a striped dog"``, and the view where the caption names one; the caption as
        it is for clay and for normal maps.
    """
    if record["is_normal_map"] or record["material"] not in MATERIALS:
        return str(record["caption"])
    material, category = record["material"], record["category"]
    text = _with_article(category if material == "plain" else f"{material} {category}")
    views = [view for view, said in VIEW_WORDS.items() if said in record["caption"]]
    return text + _suffix(views[0] if views else None)


def _with_article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def _suffix(view: str | None) -> str:
    return "" if view is None else f", {VIEW_WORDS[view]}"
