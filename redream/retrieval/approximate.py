"""Approximate search in two steps: short codes find probable rows, exact vectors rank them."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from redream.retrieval.encoder import Encoder
from redream.retrieval.filters import AssetFilter
from redream.retrieval.index import as_asset
from redream.retrieval.ranking import Ranking, RankingRetriever
from redream.retrieval.records import RowSource, records_of
from redream.retrieval.vectors import exact_rows, num_partitions
from redream.types import Asset

EXACT_BELOW = 20_000  # rows under which comparing all is as fast, as ScaNN's authors advise, too
_SHARE, _LEAST_PARTITIONS = 0.05, 32  # that are looked into: of a million rows 50 of 1000


def usual_fraction(num_rows: int) -> float:
    """Share of the partitions that is looked into by default: a twentieth, and 32 at least."""
    return min(1.0, max(_SHARE, _LEAST_PARTITIONS / max(1, num_partitions(num_rows))))


class ApproximateRetriever(RankingRetriever):
    """Base of the retrievers for large libraries.

    No float copy of the vectors is held: partitions and codes of a few bits a dimension are in
    memory, and the ``num_reranked`` rows that they find are read from the index's memory-mapped
    vectors and ranked exactly. Where the filters leave fewer than 20,000 rows these are compared
    one by one, which is exact; so is the answer when too few probable rows pass the filters.

    Args:
        index: The index folder.
        encoder: Encodes the prompt; by default the encoder that the index was built with.
        num_candidates: Assets kept by text (N' in the paper) in two stages; at least k are.
        filters: What may be returned, such as ``{licenses: [cc0, by]}``; all by default.
        ranking: ``two_stage``, ``text``, ``image`` or ``sum``, as for ``ExactRetriever``.
        image_weight: Share of the image's similarity in ``sum``, between 0 and 1.
        search_fraction: Share of the partitions looked into, in (0, 1]; more is slower and more
            exact. By default a twentieth, and 32 at least, which finds 99% at 20,000 rows as at a
            million. A filter that leaves a tenth of the rows makes it ten times as much.
        num_reranked: Probable rows that are ranked exactly; at least four times as many as are
            wanted are.

    Raises:
        ValueError: If the library that searches is not installed.
    """

    def __init__(
        self,
        index: str | Path,
        encoder: Encoder | None = None,
        num_candidates: int = 30,
        filters: AssetFilter | None = None,
        ranking: Ranking = "two_stage",
        image_weight: float = 0.5,
        search_fraction: float | None = None,
        num_reranked: int = 200,
    ) -> None:
        super().__init__(index, encoder, num_candidates, filters, ranking, image_weight)
        if search_fraction is None:
            search_fraction = usual_fraction(len(self.index))
        if not 0.0 < search_fraction <= 1.0:
            raise ValueError(f"search_fraction is {search_fraction}, and must be in (0, 1]")
        if num_reranked < 1:
            raise ValueError(f"num_reranked is {num_reranked}, and must be at least 1")
        self.search_fraction, self.num_reranked = search_fraction, num_reranked
        self._library = self._import()

    def _nearest(self, query: np.ndarray, num: int) -> np.ndarray:
        choice = self._rows
        if len(choice) >= EXACT_BELOW:
            share = min(1.0, self.search_fraction * len(self.index) / len(choice))
            wanted = max(self.num_reranked, 4 * num)
            probable = np.sort(self._probable(self.vectors.query(query), wanted, share))
            if len(probable) >= num:
                choice = probable
        return exact_rows(self.vectors, choice, query, num)

    def _assets(self, rows: Sequence[int]) -> list[Asset]:
        if len(self.index) < EXACT_BELOW:
            return super()._assets(rows)
        return [as_asset(record) for record in self._records.rows(rows)]

    @cached_property
    def _records(self) -> RowSource:
        return records_of(self.index)

    @abstractmethod
    def _import(self) -> Any:  # noqa: ANN401
        """The library that searches, or a ValueError that says how to install it."""

    @abstractmethod
    def _probable(self, query: np.ndarray, num: int, share: float) -> np.ndarray:
        """About ``num`` allowed rows that are probably the most similar, in any order.

        Args:
            query: The query as :meth:`AssetVectors.query` gives it.
            num: How many.
            share: Share of the partitions to look into.

        Returns:
            ``int64`` row numbers, each once; fewer where those partitions have fewer.
        """
