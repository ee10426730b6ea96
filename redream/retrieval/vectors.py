"""What a prompt is compared with: captions, pictures, or the weighted sum of both."""

import math
from typing import Any

import numpy as np

from redream.retrieval.index import IMAGE, TEXT, EmbeddingIndex
from redream.retrieval.rows import Rows

_ROUNDING = 1e-5  # more than two ways of adding up a product of unit vectors differ by


class AssetVectors:
    """One vector per asset, read from the index when it is asked for.

    The weighted sum of two similarities is the similarity with the weighted sum of two vectors, so
    whatever searches the captions can search this.

    Args:
        index: The index.
        image_weight: Share w of the pictures in [0, 1]: 0 gives the captions' vectors, 1 the
            pictures', and else ``(1 - w) text + w image``.

    Raises:
        ValueError: If pictures are asked for that the index does not have.
    """

    def __init__(self, index: EmbeddingIndex, image_weight: float) -> None:
        if image_weight > 0.0 and not isinstance(index.image, np.ndarray):
            raise ValueError(
                f"the index at {index.path} has no vectors of pictures to search: rank it by text, "
                "or in two stages"
            )
        self._index, self._weight = index, image_weight
        self._parts: list[tuple[Rows, float]] = []
        if image_weight < 1.0:
            self._parts.append((Rows(index.text, np.float32), 1.0 - image_weight))
        if isinstance(index.image, np.ndarray) and image_weight > 0.0:
            self._parts.append((Rows(index.image, np.float32), image_weight))

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """The vectors of rows, ``rows D`` float32."""
        parts = [
            vectors[rows] if weight == 1.0 else weight * vectors[rows]
            for vectors, weight in self._parts
        ]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    @property
    def name(self) -> str:
        """``text``, ``image`` or ``sum``."""
        return {0.0: "text", 1.0: "image"}.get(self._weight, "sum")

    @property
    def key(self) -> dict[str, Any]:
        """What tells these vectors from others: hashes of their files, and the weight."""
        files = self._index.manifest["files"]
        used = {TEXT: self._weight < 1.0, IMAGE: self._weight > 0.0}
        hashes = {name: files[name]["sha256"] for name, is_used in used.items() if is_used}
        return {**hashes, "image_weight": self._weight}

    @property
    def dimension(self) -> int:
        """Length of what :meth:`of_equal_length` gives."""
        return int(self._index.text.shape[1]) + (self.name == "sum")

    def of_equal_length(self, rows: slice | np.ndarray) -> np.ndarray:
        """The vectors of rows, made equally long, so that the nearest are the most similar.

        Sums of unit vectors are shorter where caption and picture disagree. One more coordinate,
        which is 0 in a query, makes up for it (Bachrach et al., 2014).
        """
        vectors = self[rows]
        if self.name != "sum":
            return vectors
        missing = np.sqrt(np.maximum(0.0, 1.0 - np.square(vectors).sum(1, keepdims=True)))
        return np.concatenate([vectors, missing], axis=1)

    def query(self, query: np.ndarray) -> np.ndarray:
        """A query vector with the coordinate that :meth:`of_equal_length` adds."""
        return np.pad(query, (0, self.dimension - len(query)))


def exact_rows(
    vectors: AssetVectors | np.ndarray,
    rows: np.ndarray,
    query: np.ndarray,
    num: int,
    chunk: int = 1024,
) -> np.ndarray:
    """Those of some rows that have the largest inner product with a query, best first.

    Args:
        vectors: ``rows D``, of any float type and possibly on disk.
        rows: Row numbers to choose from, ascending.
        query: ``D`` float32.
        num: How many; at most as many as there are to choose from.
        chunk: Rows read at once; few enough to stay in the processor's cache.

    Returns:
        Row numbers; equal products keep the order of the rows.
    """
    product = np.concatenate(
        [
            vectors[_contiguous(rows[start : start + chunk])].astype(np.float32, copy=False) @ query
            for start in range(0, max(1, len(rows)), chunk)
        ]
    )
    least = np.partition(product, len(product) - num)[len(product) - num]
    near = rows[product >= least - _ROUNDING]  # rounded differently by where in a chunk they are
    chosen: np.ndarray = near[np.argsort(-similarity(vectors[near], query), kind="stable")[:num]]
    return chosen


def similarity(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Inner products that do not depend on which other rows are asked for, as a product's do.

    Args:
        vectors: ``rows D`` of any float type.
        query: ``D`` float32.

    Returns:
        ``rows`` float32.
    """
    products: np.ndarray = (vectors.astype(np.float32, copy=False) * query).sum(1)
    return products


def _contiguous(rows: np.ndarray) -> slice | np.ndarray:
    """Neighbouring rows as a slice, which is read without a list of them."""
    is_run = len(rows) > 0 and int(rows[-1]) - int(rows[0]) == len(rows) - 1
    return slice(int(rows[0]), int(rows[-1]) + 1) if is_run else rows


def num_partitions(num_rows: int) -> int:
    """Into how many partitions approximate search divides the rows: about their root."""
    return math.isqrt(num_rows)
