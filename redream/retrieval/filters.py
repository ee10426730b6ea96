"""Which assets of an index may be returned at all: licence, category, size, animation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from redream.retrieval.index import EmbeddingIndex


@dataclass(frozen=True)
class AssetFilter:
    """Conditions that an asset must meet to be ranked; those left out are no conditions.

    What nobody stated does not match: an asset of unknown licence passes no licence filter, one
    whose faces nobody counted passes no limit on faces.

    Args:
        licenses: Licence codes, such as ``[cc0, by]``.
        categories: Names of categories; an asset needs one of them.
        max_faces: The most triangles.
        animated: True for assets with animation clips, False for those without.

    Raises:
        ValueError: If ``max_faces`` is below 1.
    """

    licenses: list[str] | None = None
    categories: list[str] | None = None
    max_faces: int | None = None
    animated: bool | None = None

    def __post_init__(self) -> None:
        if self.max_faces is not None and self.max_faces < 1:
            raise ValueError(f"max_faces is {self.max_faces}, and must be at least 1")

    def mask(self, index: EmbeddingIndex) -> np.ndarray:
        """Which rows of an index meet all conditions.

        Returns:
            ``rows`` booleans.
        """
        table = index.table
        passing = np.ones(len(index), dtype=bool)
        if self.licenses is not None:
            wanted = [code for code in self.licenses if code != "unknown"]
            passing &= np.isin(table["license"].to_numpy(), wanted)
        if self.categories is not None:
            column = table["categories"].combine_chunks()
            hits = np.isin(pc.list_flatten(column).to_numpy(zero_copy_only=False), self.categories)
            among = np.zeros(len(index), dtype=bool)
            among[pc.list_parent_indices(column).to_numpy()[hits]] = True
            passing &= among
        if self.max_faces is not None:
            passing &= _known(pc.less_equal(table["num_faces"], self.max_faces))
        if self.animated is not None:
            has_clips = pc.greater(table["num_animations"], 0)
            passing &= _known(has_clips if self.animated else pc.invert(has_clips))
        return passing

    def describe(self) -> str:
        """The conditions in words, such as ``licence cc0 or by, at most 50000 faces``."""
        words = []
        if self.licenses is not None:
            words.append(f"licence {_either(self.licenses)}")
        if self.categories is not None:
            words.append(f"category {_either(self.categories)}")
        if self.max_faces is not None:
            words.append(f"at most {self.max_faces} faces")
        if self.animated is not None:
            words.append("animated" if self.animated else "not animated")
        return ", ".join(words)


def _known(condition: pa.ChunkedArray) -> np.ndarray:
    """A condition as booleans, false where it is unknown."""
    booleans: np.ndarray = pc.fill_null(condition, False).to_numpy()
    return booleans


def _either(names: Sequence[str]) -> str:
    return " or ".join(names) or "of an empty list"
