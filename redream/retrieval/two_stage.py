"""The paper's two stages (Sec. 4.5): N' assets by text, then the best N of them by image."""

from abc import abstractmethod
from pathlib import Path

import numpy as np

from redream.retrieval.base import Retriever
from redream.retrieval.encoder import Encoder
from redream.retrieval.filters import AssetFilter
from redream.retrieval.index import EmbeddingIndex
from redream.types import Asset


class TwoStageRetriever(Retriever):
    """Ranks an index by text, then the hits by image; how the first stage searches is open.

    Args:
        index: The index folder.
        encoder: Encodes the prompt; by default the encoder that the index was built with.
        num_candidates: Assets kept by text (N' in the paper); at least k are.
        filters: What may be returned, such as ``{licenses: [cc0, by]}``; all by default.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If the index is broken or was built with another encoder.
    """

    def __init__(
        self,
        index: str | Path,
        encoder: Encoder | None = None,
        num_candidates: int = 30,
        filters: AssetFilter | None = None,
    ) -> None:
        self.index = EmbeddingIndex.open(index)
        self.encoder = Encoder(**self.index.encoder) if encoder is None else encoder
        if self.encoder.name != self.index.encoder_name:
            raise ValueError(
                f"the index at {index} was built with encoder {self.index.encoder_name}, not "
                f"{self.encoder.name}: use that encoder or build the index again"
            )
        if num_candidates < 1:
            raise ValueError(f"num_candidates is {num_candidates}, and must be at least 1")
        self.num_candidates = num_candidates
        self.filters = AssetFilter() if filters is None else filters
        self._allowed = self.filters.mask(self.index)

    def retrieve(self, prompt: str, k: int) -> list[Asset]:
        """Finds ``k`` assets: N' by text similarity, of them ``k`` by image similarity.

        Args:
            prompt: What the user wants.
            k: How many assets.

        Returns:
            The assets, best image similarity first; ``scores`` has ``text`` and ``image``.

        Raises:
            ValueError: If the prompt is empty or the index has fewer than ``k`` such assets.
        """
        if not prompt.strip():
            raise ValueError("the prompt is empty: say what to look for")
        num_allowed = int(self._allowed.sum())
        if not 1 <= k <= num_allowed:
            conditions = self.filters.describe()
            of_those = f" that pass the filters ({conditions})" if conditions else ""
            raise ValueError(f"asked for {k} assets, but the index has {num_allowed}{of_those}")
        query = self.encoder.encode_texts([prompt])[0].numpy().astype(np.float32)
        num = min(max(k, self.num_candidates), num_allowed)
        candidates = np.sort(self._nearest_captions(query, num))
        text = self.index.text[candidates].astype(np.float32) @ query
        image = self.index.image[candidates].astype(np.float32) @ query
        best = np.argsort(-image, kind="stable")[:k]
        return [
            self.index.asset(int(candidates[i]), {"text": float(text[i]), "image": float(image[i])})
            for i in best
        ]

    @abstractmethod
    def _nearest_captions(self, query: np.ndarray, num: int) -> np.ndarray:
        """The rows of the ``num`` allowed captions most similar to the query, in any order."""


def exact_rows(
    vectors: np.ndarray, allowed: np.ndarray, query: np.ndarray, num: int, chunk: int = 16384
) -> np.ndarray:
    """The ``num`` allowed rows of largest inner product with the query, best first.

    Args:
        vectors: ``rows D``, of any float type and possibly on disk.
        allowed: Which rows may be returned.
        query: ``D`` float32.
        num: How many; at most as many as are allowed.
        chunk: Rows read at once.

    Returns:
        Row numbers; equal products keep the order of the rows.
    """
    product = np.full(len(vectors), -np.inf, dtype=np.float32)
    for start in range(0, len(vectors), chunk):
        rows = slice(start, start + chunk)
        product[rows] = vectors[rows].astype(np.float32) @ query
    product[~allowed] = -np.inf
    best = np.sort(np.argpartition(-product, num - 1)[:num])
    return best[np.argsort(-product[best], kind="stable")]
