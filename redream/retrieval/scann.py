"""Approximate search by ScaNN (Guo et al., 2020), as the paper uses it (Sec. 4.5, App. B)."""

import json
import math
import os
import shutil
import tempfile
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from redream.retrieval.encoder import Encoder
from redream.retrieval.filters import AssetFilter
from redream.retrieval.two_stage import TwoStageRetriever, exact_rows

_EXACT_BELOW = 20_000  # rows under which ScaNN itself advises brute force
_PICKLE = "scann_docids.pkl"  # ScaNN would read it; we never write one


class _Searcher(Protocol):
    """What is used of ScaNN's searcher."""

    def search(
        self, q: np.ndarray, final_num_neighbors: int, pre_reorder_num_neighbors: int
    ) -> tuple[np.ndarray, np.ndarray]: ...

    def serialize(self, artifacts_dir: str, relative_path: bool) -> None: ...


class ScannRetriever(TwoStageRetriever):
    """Retrieves from an index with ScaNN as the first stage; for large libraries, on Linux.

    ScaNN's own files are made on the first use and kept in the index's ``scann`` folder where that
    can be written.

    Args:
        index: The index folder.
        encoder: Encodes the prompt; by default the encoder that the index was built with.
        num_candidates: Assets kept by text (N' in the paper); at least k are.
        filters: What may be returned, such as ``{licenses: [cc0, by]}``; all by default.
        search_fraction: Share of ScaNN's partitions looked into, more is slower and more exact.

    Raises:
        ValueError: If scann is not installed.
    """

    def __init__(
        self,
        index: str | Path,
        encoder: Encoder | None = None,
        num_candidates: int = 30,
        filters: AssetFilter | None = None,
        search_fraction: float = 0.1,
    ) -> None:
        super().__init__(index, encoder, num_candidates, filters)
        if not 0.0 < search_fraction <= 1.0:
            raise ValueError(f"search_fraction is {search_fraction}, and must be in (0, 1]")
        self.search_fraction = search_fraction
        self._scann = _import_scann()

    def _nearest_captions(self, query: np.ndarray, num: int) -> np.ndarray:
        """ScaNN cannot filter: it is asked for more until enough allowed rows are among them."""
        fetch = num
        while fetch < len(self.index):
            rows, _ = self._searcher.search(
                query, final_num_neighbors=fetch, pre_reorder_num_neighbors=max(200, 4 * fetch)
            )
            kept: np.ndarray = rows[self._allowed[rows]].astype(np.int64)
            if len(kept) >= num:
                return kept[:num]
            if len(rows) < fetch:  # its partitions are exhausted
                break
            fetch *= 4
        return exact_rows(self.index.text, self._allowed, query, num)

    @cached_property
    def _searcher(self) -> _Searcher:
        """ScaNN over the captions, from the index's ``scann`` folder where it fits the index."""
        folder = self.index.path / "scann"
        key = {
            "text_sha256": self.index.manifest["files"]["text.npy"]["sha256"],
            "search_fraction": self.search_fraction,
        }
        try:
            if json.loads((folder / "key.json").read_text()) == key:
                if not (folder / _PICKLE).exists():
                    loaded: _Searcher = self._scann.load_searcher(str(folder))
                    return loaded
        except (OSError, ValueError, RuntimeError):
            pass  # none yet, or half of one: built below
        searcher = self._build()
        self._keep(searcher, folder, key)
        return searcher

    def _build(self) -> _Searcher:
        vectors = np.asarray(self.index.text, dtype=np.float32)
        builder = self._scann.builder(vectors, self.num_candidates, "dot_product")
        if len(vectors) < _EXACT_BELOW:
            brute_force: _Searcher = builder.score_brute_force().build()
            return brute_force
        num_leaves = math.isqrt(len(vectors))
        num_searched = max(1, round(self.search_fraction * num_leaves))
        searcher: _Searcher = (
            builder.tree(num_leaves, num_searched, training_sample_size=250_000)
            .score_ah(2, anisotropic_quantization_threshold=0.2)
            .reorder(max(200, 4 * self.num_candidates))
            .build()
        )
        return searcher

    def _keep(self, searcher: _Searcher, folder: Path, key: dict[str, Any]) -> None:
        """Writes ScaNN's files whole or not at all; an index that is read-only stays as it is."""
        if not os.access(folder.parent, os.W_OK):
            return
        building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".scann."))
        try:
            searcher.serialize(str(building), relative_path=True)
            (building / "key.json").write_text(json.dumps(key))
            building.chmod(0o755)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(building, folder)
        except OSError:  # a full disk, or another process was faster
            shutil.rmtree(building, ignore_errors=True)


def _import_scann() -> ModuleType:
    try:
        from scann.scann_ops.py import scann_ops_pybind
    except ImportError as error:
        raise ValueError(
            "ScannRetriever needs scann, which is not installed (Linux: pip install scann): "
            "use ExactRetriever"
        ) from error
    module: ModuleType = scann_ops_pybind
    return module
