"""A few assets without an index: each is rendered and compared with the prompt when asked for."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from redream.assets import Store
from redream.indexing import RenderedPictures
from redream.indexing.build import embed_pictures, to_bytes
from redream.retrieval import Encoder, similarity
from redream.sources.base import AssetSource
from redream.types import Asset


class StoreRetriever(AssetSource):
    """Ranks the assets of a small store by their pictures, with no index to build.

    The scores are those of an index that was built with the default pictures and the same encoder,
    to the last digit, so that both can stand in one ranking.

    Args:
        store: A few assets, such as a folder of your own.
        encoder: Embeds the prompt, the captions and the pictures.
    """

    encoder: Encoder

    def __init__(self, store: Store, encoder: Encoder) -> None:
        self.store, self.encoder = store, encoder
        self._licenses: list[str] | None = None
        self._vectors: dict[str, np.ndarray] = {}

    def retrieve(self, prompt: str, k: int) -> list[Asset]:
        """Finds ``k`` assets; ``scores`` has ``text`` and ``image``, which ranks.

        Raises:
            ValueError: If the prompt is empty, there are fewer than ``k``, or one cannot be shown.
        """
        if not prompt.strip():
            raise ValueError("the prompt is empty: say what to look for")
        assets = self._allowed()
        if not 1 <= k <= len(assets):
            raise ValueError(f"asked for {k} assets, but the store has {len(assets)}")
        return self.rank(prompt, assets)[:k]

    def rank(self, prompt: str, assets: Sequence[Asset]) -> list[Asset]:
        """Assets of the store with their scores, best first.

        Args:
            prompt: What they are compared with.
            assets: Some of the store's.
        """
        texts = self.encoder.encode_texts([prompt, *(asset.caption for asset in assets)])
        query = texts[0].numpy().astype(np.float32)
        text = similarity(texts[1:].half().numpy(), query)
        image = similarity(np.stack([self._vector(asset.uid) for asset in assets]), query)
        scored = [
            replace(asset, scores={"text": float(text[row]), "image": float(image[row])})
            for row, asset in enumerate(assets)
        ]
        return sorted(scored, key=lambda asset: -asset.scores["image"])

    def restrict(self, licenses: Sequence[str]) -> None:
        """Finds only assets of some licences."""
        self._licenses = [each for each in licenses if each != "unknown"]

    def most(self) -> int:
        """How many assets there are."""
        return len(self._allowed())

    def _allowed(self) -> list[Asset]:
        wanted = self._licenses
        return [each for each in self.store.assets() if wanted is None or each.license in wanted]

    def _vector(self, uid: str) -> np.ndarray:
        """Pooled vector of an asset's pictures as an index keeps it, ``D`` float16."""
        if uid not in self._vectors:
            pictures = RenderedPictures(self.store, self.encoder.image_size).pictures(uid)
            vector = embed_pictures([to_bytes(pictures)], self.encoder)[0].numpy()
            if not np.isfinite(vector).all():
                raise ValueError(f"the vector of {uid} is not finite, so it cannot be ranked")
            self._vectors[uid] = vector.astype(np.float16)
        return self._vectors[uid]
