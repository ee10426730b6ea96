"""Ranks an index: in the paper's two stages (Sec. 4.5), by text, by image, or by their sum."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from redream.retrieval.base import Retriever
from redream.retrieval.encoder import Encoder
from redream.retrieval.filters import AssetFilter
from redream.retrieval.index import EmbeddingIndex
from redream.retrieval.likeness import Likeness, likeness_of_index
from redream.retrieval.rows import Rows
from redream.retrieval.vectors import AssetVectors, similarity
from redream.types import Asset

Ranking = Literal["two_stage", "text", "image", "sum"]


class RankingRetriever(Retriever):
    """Ranks an index by similarity to the prompt; how the nearest rows are found is open.

    Args:
        index: The index folder.
        encoder: Encodes the prompt; by default the encoder that the index was built with.
        num_candidates: Assets kept by text (N' in the paper) in two stages; at least k are.
        filters: What may be returned, such as ``{licenses: [cc0, by]}``; all by default.
        ranking: ``two_stage`` takes N' assets by text and ranks them by image, as the paper does;
            ``text`` and ``image`` rank all assets by one alone, ``sum`` by both.
        image_weight: Share of the image's similarity in ``sum``, between 0 and 1.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If the index is broken or was built with another encoder.
    """

    index: EmbeddingIndex
    encoder: Encoder

    def __init__(
        self,
        index: str | Path,
        encoder: Encoder | None = None,
        num_candidates: int = 30,
        filters: AssetFilter | None = None,
        ranking: Ranking = "two_stage",
        image_weight: float = 0.5,
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
        if not 0.0 < image_weight < 1.0:
            raise ValueError(
                f"image_weight is {image_weight}, and must be between 0 and 1: for one alone set "
                "ranking to text or image"
            )
        weights = {"two_stage": 0.0, "text": 0.0, "image": 1.0, "sum": image_weight}
        if ranking not in weights:
            raise ValueError(f"ranking is {ranking!r}; choose from: {', '.join(weights)}")
        self.num_candidates = num_candidates
        self.filters = AssetFilter() if filters is None else filters
        self.ranking, self.image_weight = ranking, image_weight
        self.vectors = AssetVectors(self.index, weights[ranking])
        image = self.index.image  # pictures of an index of texts are made on demand
        self._text = Rows(self.index.text)
        self._image = Rows(image) if isinstance(image, np.ndarray) else image
        self._allowed = self.filters.mask(self.index)

    def retrieve(self, prompt: str, k: int) -> list[Asset]:
        """Finds ``k`` assets.

        Args:
            prompt: What the user wants.
            k: How many assets.

        Returns:
            The assets, best first; ``scores`` has ``text``, ``image`` or both, and ``sum`` where
            that ranks. The last of them is the one that ranks.

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
        num = min(max(k, self.num_candidates), num_allowed) if self.ranking == "two_stage" else k
        candidates = np.sort(self._nearest(query, num))
        scores = self._scores(candidates, query)
        best = np.argsort(-scores[next(reversed(scores))], kind="stable")[:k]
        return [
            replace(asset, scores={name: float(score[i]) for name, score in scores.items()})
            for asset, i in zip(self._assets(candidates[best].tolist()), best, strict=True)
        ]

    def _assets(self, rows: Sequence[int]) -> list[Asset]:
        """The assets of some rows, without scores."""
        return self.index.assets(rows)

    def restrict(self, licenses: Sequence[str]) -> None:
        """Finds only assets of some licences, and of those that its filters have, too."""
        before = self.filters.licenses
        both = list(licenses) if before is None else [each for each in before if each in licenses]
        self.filters = replace(self.filters, licenses=both)
        self._allowed = self.filters.mask(self.index)
        self.__dict__.pop("_rows", None)

    def likeness(self, asset: Asset) -> float | None:
        """How like the prompt the pictures of a retrieved asset are, on the index's own scale."""
        if self._scale is None or "image" not in asset.scores:
            return None
        return self._scale.of(asset.scores["image"])

    @cached_property
    def _scale(self) -> Likeness | None:
        return likeness_of_index(self.index)

    def most(self) -> int:
        """How many assets of the index pass the filters."""
        return int(self._allowed.sum())

    def _scores(self, candidates: np.ndarray, query: np.ndarray) -> dict[str, np.ndarray]:
        """Named similarities of rows; the last one ranks them."""
        scores = {}
        if self.ranking != "image":
            scores["text"] = similarity(self._text[candidates], query)
        if self.ranking != "text":
            scores["image"] = similarity(self._image[candidates], query)
        if self.ranking == "sum":
            weight = self.image_weight
            scores["sum"] = (1.0 - weight) * scores["text"] + weight * scores["image"]
        return scores

    @cached_property
    def _rows(self) -> np.ndarray:
        """The rows that may be returned, ascending."""
        return np.flatnonzero(self._allowed)

    @abstractmethod
    def _nearest(self, query: np.ndarray, num: int) -> np.ndarray:
        """The ``num`` allowed rows whose vectors are most similar to the query, in any order."""
