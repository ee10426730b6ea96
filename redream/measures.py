"""The words of measures: what a number is called, in what unit, where better is, and what it says.

``metrics.json`` keeps short keys, which never change; whatever is read by people, the report and
the page of ``redream ui``, takes its words from here. A measure of a plugin that is not in the
table is shown by its key.
"""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple


class Words(NamedTuple):
    """How a measure is told.

    Attributes:
        name: What people call it.
        hint: What it says, in a sentence or two.
        unit: Stands behind the number; ``%`` for a share of 1.
        better: Where better is, such as ``higher is better``; empty where it says nothing of
            quality.
        is_setting: Whether it was chosen rather than found: such stand apart from results.
    """

    name: str
    hint: str
    unit: str = ""
    better: str = ""
    is_setting: bool = False


class Reading(NamedTuple):
    """A measured number as it is read.

    Attributes:
        name: What people call it.
        value: The number with its unit.
        words: The rest of what there is to say.
    """

    name: str
    value: str
    words: Words


HIGHER, LOWER = "higher is better", "lower is better"

TABLE: dict[str, Words] = {
    "clip_score": Words(
        "CLIP score",
        "How alike the pictures and the prompt are to a CLIP that did not steer the run: the mean "
        "cosine, from -1 to 1. Compare it among runs of one prompt.",
        better=HIGHER,
    ),
    "rank": Words(
        "Rank of the prompt",
        "The prompt's place among all captions, by how well they fit the pictures.",
        better="1 is best",
    ),
    "r_precision": Words(
        "Views that name the prompt",
        "Share of the views that fit the prompt better than every other caption: CLIP R-precision.",
        "%",
        HIGHER,
    ),
    "num_captions": Words(
        "Captions compared", "How many captions the prompt was ranked among.", is_setting=True
    ),
    "a_lpips_NET": Words(
        "A-LPIPS",
        "How much neighbouring views differ to a network's eye, on average: seams, flicker and "
        "second faces raise it. Blur lowers it, too, so never read it alone.",
        better=LOWER,
    ),
    "a_lpips_NET_max": Words(
        "A-LPIPS, worst step",
        "The largest difference of two neighbouring views: a seam, if it is far above the mean.",
        better=LOWER,
    ),
    "a_lpips_NET_std": Words(
        "A-LPIPS, spread",
        "Standard deviation of the differences around the object: 0 where all sides change alike.",
        better=LOWER,
    ),
    "a_lpips_NET_num_views": Words(
        "A-LPIPS: views", "How many views around the object were compared.", is_setting=True
    ),
    "a_lpips_NET_step_deg": Words(
        "A-LPIPS: step", "The angle from one view to the next.", "°", is_setting=True
    ),
    "a_lpips_NET_elevation_deg": Words(
        "A-LPIPS: elevation", "How far above the object the cameras stood.", "°", is_setting=True
    ),
    "pattern_score": Words(
        "Sides with the pattern",
        "Share of the sides that bear the prompt's pattern rather than another, as a CLIP sees it.",
        "%",
        HIGHER,
    ),
    "pattern_right": Words(
        "Pattern as a whole",
        "Whether the object bears the prompt's pattern, all sides taken together.",
        better="yes is right",
    ),
    "pattern_lead": Words(
        "Lead of the pattern",
        "By how much the prompt's pattern leads the next one: a difference of cosines.",
        better=HIGHER,
    ),
    "num_fronts": Words(
        "Faces seen",
        "From how many separate directions a front is seen. Two or more are the Janus problem.",
        better="1 is right",
    ),
    "front_share": Words(
        "Directions that show a front",
        "Share of all directions; a quarter is usual for an object with one face.",
        "%",
        "about 25 % is right",
    ),
    "faces": Words(
        "Faces by evidence",
        "How many fronts the run's own classifier of poses counts around the object.",
        better="1 is right",
    ),
    "chamfer": Words(
        "Distance to the truth",
        "Mean distance of the surface to the mesh that is known to be right, and back (Chamfer).",
        better=LOWER,
    ),
    "precision": Words(
        "Surface that is right", "Share of the surface that lies near to the truth.", "%", HIGHER
    ),
    "recall": Words(
        "Truth that is covered", "Share of the truth that the surface lies near to.", "%", HIGHER
    ),
    "f_score": Words(
        "Shape F-score", "Harmonic mean of what is right and what is covered.", better=HIGHER
    ),
    "psnr_db": Words(
        "Fidelity of colours",
        "How true the exported model's pictures are to the particle's own, where either is seen "
        "(PSNR). From 30 dB on they are hard to tell apart.",
        "dB",
        HIGHER,
    ),
    "silhouette_iou": Words(
        "Fidelity of outlines",
        "How much the outlines of model and particle overlap, as a share of both together.",
        "%",
        HIGHER,
    ),
    "num_faces": Words("Triangles", "Of the exported model."),
    "num_vertices": Words("Vertices", "Of the exported model, those at one place counted once."),
    "num_components": Words(
        "Pieces", "Parts of the surface that nothing connects.", better="1 is usual"
    ),
    "num_boundary_edges": Words(
        "Open edges", "Edges at which the surface ends.", better="0 is closed"
    ),
    "num_nonmanifold_edges": Words(
        "Branching edges", "Edges of more than two triangles.", better="0 is right"
    ),
    "is_watertight": Words(
        "Watertight",
        "Whether the surface is closed everywhere, as a 3D printer wants it.",
        better="yes is right",
    ),
    "texture_size": Words("Texture", "Texels along a side of it.", "px", is_setting=True),
    "text": Words(
        "fits the prompt",
        "Cosine of the asset's and the prompt's words, as CLIP reads them.",
        better=HIGHER,
    ),
    "image": Words(
        "looks like it",
        "Cosine of the asset's pictures and the prompt, as CLIP sees them.",
        better=HIGHER,
    ),
}
"""Every measure of ReDream's own, by its key; ``NET`` stands for a network's name."""

_YES_OR_NO = {"pattern_right"}
_LABELLED = {
    "clip_score", "rank", "r_precision", "num_captions", "num_fronts", "front_share",
    "pattern_score", "pattern_right", "pattern_lead",
}  # fmt: skip
"""Measures before whose keys a label may stand, where several judges measure the same."""


def words_of(key: str) -> Words:
    """What a measure is called and what it says.

    Args:
        key: Its key in ``metrics.json``; a label may stand before it.

    Returns:
        Its words, the label or the network's name in brackets behind what is measured; for a key
        that is not known its own words.
    """
    found = _found(key)
    if found is None:
        return Words(key.replace("_", " "), "")
    known, label = found
    words = TABLE[known]
    if not label:
        return words
    name, colon, rest = words.name.partition(":")
    label = label.replace("_", " ")
    return words._replace(name=f"{name} ({label}){colon}{rest}")


def read_measure(key: str, value: float) -> Reading:
    """A measured number as people read it.

    Args:
        key: Its key in ``metrics.json``.
        value: The number, or whether something holds.
    """
    words = words_of(key)
    found = _found(key)
    if isinstance(value, bool) or (found is not None and found[0] in _YES_OR_NO):
        return Reading(words.name, "yes" if value else "no", words)
    if words.unit == "%":
        shown = f"{100.0 * value:.0f} %" if math.isfinite(value) else show_number(value)
    elif words.unit == "dB":
        shown = f"{value:.1f} dB"
    elif words.unit == "°":
        shown = f"{value:g}°"
    else:
        shown = f"{_short(value)} {words.unit}".rstrip()
    return Reading(words.name, shown, words)


def read_all(measures: Mapping[str, float]) -> tuple[list[Reading], list[Reading]]:
    """Results and settings, apart and each in their order."""
    readings = [read_measure(key, value) for key, value in measures.items()]
    found = [each for each in readings if not each.words.is_setting]
    return found, [each for each in readings if each.words.is_setting]


def show_number(value: float) -> str:
    """Whole numbers without a fraction, others with three decimals."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.3f}"


def _short(value: float) -> str:
    """A number, thousands set apart."""
    if math.isfinite(value) and float(value).is_integer():
        return f"{value:,.0f}"
    return show_number(value)


def _found(key: str) -> tuple[str, str] | None:
    """The key of the table that a key is, and the label or network that it is of."""
    if key in TABLE:
        return key, ""
    for known in sorted(TABLE, key=len, reverse=True):  # the longest that fits
        label = f"(.+)_{known}" if known in _LABELLED else known.replace("NET", "(.+)")
        match = re.fullmatch(label, key)
        if match:
            return known, match[1]
    return None
