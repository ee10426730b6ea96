"""How like a prompt an asset is, on a scale that any CLIP's cosines can be put on.

A cosine of 0.25 is much to one CLIP and nothing to another. An index knows what its own CLIP says
of a picture and the caption that belongs to it, and of one that does not: here 1 and 0.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from redream.retrieval.base import Retriever
from redream.retrieval.index import EmbeddingIndex
from redream.retrieval.rows import Rows
from redream.types import Asset

_NUM_ROWS = 256  # enough for a median to within some 0.02 of the scale
_FEWEST = 8  # of fewer rows nothing is known


class Likeness(NamedTuple):
    """A scale for the cosine of a prompt and an asset's pictures.

    Attributes:
        unlike: Mean cosine of an asset's pictures and another asset's caption.
        alike: Median cosine of an asset's pictures and its own caption.
    """

    unlike: float
    alike: float

    def of(self, cosine: float) -> float:
        """0 where they are as unlike as those of two assets, 1 where as alike as one's own."""
        return (cosine - self.unlike) / (self.alike - self.unlike)


def likeness_of_index(index: EmbeddingIndex) -> Likeness | None:
    """Reads the scale off an index, from up to 256 of its rows.

    Args:
        index: The index.

    Returns:
        The scale; None where the index has no vectors of pictures or under 8 rows, or its captions
        say nothing of its pictures.
    """
    if not isinstance(index.image, np.ndarray) or len(index) < _FEWEST:
        return None
    num = min(_NUM_ROWS, len(index))
    rows = np.sort(np.random.default_rng(0).choice(len(index), num, replace=False))
    cosines = Rows(index.text, np.float32)[rows] @ Rows(index.image, np.float32)[rows].T
    own = np.diagonal(cosines)
    unlike = float((cosines.sum() - own.sum()) / (num * (num - 1)))
    alike = float(np.median(own))
    return Likeness(unlike, alike) if alike > unlike else None


def leave_out_unlike(
    retriever: Retriever, assets: Sequence[Asset], least: float
) -> tuple[list[Asset], str]:
    """Leaves out what is hardly like the prompt, beside what is: particles would become it.

    Args:
        retriever: Has found the assets, and says how like the prompt each is.
        assets: What it found, best first.
        least: The least likeness; what nothing is known of stays.

    Returns:
        The assets that stay, at least the first; and a line to tell the user, empty where there is
        nothing to say.
    """
    found = [retriever.likeness(asset) for asset in assets]
    unlike = {place: each for place, each in enumerate(found) if each is not None and each < least}
    if not unlike:
        return list(assets), ""
    kept = [asset for place, asset in enumerate(assets) if place not in unlike]
    told = ", ".join(f"{assets[place].caption!r} ({each:.2f})" for place, each in unlike.items())
    if kept:
        return kept, (
            f"hardly like the prompt and left out: {told}, where an asset's own caption has 1; "
            f"data.least_likeness is {least:g}"
        )
    return [assets[0]], (
        f"nothing that was retrieved is much like the prompt: {told}, where an asset's own caption "
        "has 1; the first is taken all the same. Better are an asset of your own (--data.assets), "
        "one that is generated, or none (--config configs/methods/prolificdreamer.yaml)"
    )
