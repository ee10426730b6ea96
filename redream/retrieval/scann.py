"""Approximate search by ScaNN (Guo et al., 2020), as the paper uses it (Sec. 4.5, App. B)."""

import math
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from redream.retrieval.approximate import ApproximateRetriever
from redream.retrieval.derived import load_or_make
from redream.retrieval.vectors import num_partitions

_PICKLE = "scann_docids.pkl"  # ScaNN would read it; we never write one


class _Searcher(Protocol):
    """What is used of ScaNN's searcher."""

    def search(
        self,
        q: np.ndarray,
        final_num_neighbors: int,
        pre_reorder_num_neighbors: int,
        leaves_to_search: int,
    ) -> tuple[np.ndarray, np.ndarray]: ...

    def serialize(self, artifacts_dir: str, relative_path: bool) -> None: ...


class ScannRetriever(ApproximateRetriever):
    """Retrieves from an index with ScaNN; for large libraries, on Linux.

    ScaNN's own files are made on the first use and kept in the index's ``scann`` folder, or in
    ``$REDREAM_CACHE`` where that cannot be written. They hold half a byte for two dimensions
    (asymmetric hashing); the rows that they find are read from the index and ranked exactly.
    Below 20,000 rows every asset is compared, without ScaNN.

    Its arguments are those of :class:`ApproximateRetriever`.

    Raises:
        ValueError: If scann is not installed.
    """

    def _probable(self, query: np.ndarray, num: int, share: float) -> np.ndarray:
        """ScaNN cannot filter: it is asked for as many more as the filters take away."""
        num_leaves = num_partitions(len(self.index))
        fetch = min(len(self.index), math.ceil(num * len(self.index) / len(self._rows)))
        found, _ = self._searcher.search(query, fetch, fetch, max(1, round(share * num_leaves)))
        rows = found.astype(np.int64)
        kept: np.ndarray = rows[self._allowed[rows]]
        return kept

    @cached_property
    def _searcher(self) -> _Searcher:
        return load_or_make(
            self.index,
            f"scann/{self.vectors.name}",
            {**self.vectors.key, "recipe": "tree, hashes of 2 dimensions, squared distance"},
            self._make,
            lambda searcher, folder: searcher.serialize(str(folder), relative_path=True),
            self._load,
        )

    def _make(self) -> _Searcher:
        """Partitions and hashes; all vectors are in memory as float32 meanwhile.

        Vectors of equal length are partitioned by distance, which finds more than ScaNN's inner
        product does (``benchmarks/retrieval.py``).
        """
        vectors = self.vectors.of_equal_length(slice(None))
        num_leaves = num_partitions(len(vectors))
        builder = self._library.builder(vectors, self.num_reranked, "squared_l2")
        searcher: _Searcher = (
            builder.tree(num_leaves, num_leaves, training_sample_size=100 * num_leaves)
            .score_ah(2)
            .build()
        )
        return searcher

    def _load(self, folder: Path) -> _Searcher:
        if (folder / _PICKLE).exists():
            raise ValueError(f"it has a {_PICKLE}, which ReDream does not write and does not read")
        searcher: _Searcher = self._library.load_searcher(str(folder))
        return searcher

    def _import(self) -> Any:  # noqa: ANN401  (scann ships no types)
        try:
            from scann.scann_ops.py import scann_ops_pybind
        except ImportError as error:
            raise ValueError(
                "ScannRetriever needs scann, which is not installed (Linux: pip install scann): "
                "use FaissRetriever or ExactRetriever"
            ) from error
        return scann_ops_pybind
