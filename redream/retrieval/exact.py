"""Exact search, the default: fast enough for some ten thousand assets, and never wrong."""

import numpy as np

from redream.retrieval.ranking import RankingRetriever
from redream.retrieval.vectors import exact_rows


class ExactRetriever(RankingRetriever):
    """Retrieves from an index by comparing the prompt with every asset (Sec. 4.5).

    Args:
        index: The index folder.
        encoder: Encodes the prompt; by default the encoder that the index was built with.
        num_candidates: Assets kept by text (N' in the paper) in two stages; at least k are.
        filters: What may be returned, such as ``{licenses: [cc0, by]}``; all by default.
        ranking: ``two_stage`` takes N' assets by text and ranks them by image, as the paper does;
            ``text`` and ``image`` rank all assets by one alone, ``sum`` by both.
        image_weight: Share of the image's similarity in ``sum``, between 0 and 1.
    """

    def _nearest(self, query: np.ndarray, num: int) -> np.ndarray:
        return exact_rows(self.vectors, self._rows, query, num)
