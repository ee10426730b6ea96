"""Approximate search by faiss (Douze et al., 2024), which has wheels for every platform."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from redream.retrieval.approximate import ApproximateRetriever
from redream.retrieval.derived import load_or_make
from redream.retrieval.mapped import MappedFile
from redream.retrieval.vectors import num_partitions

_FILE = "index.faiss"
_CHUNK = 65_536  # rows encoded at once


class FaissRetriever(ApproximateRetriever):
    """Retrieves from an index with faiss; for large libraries, on Linux, macOS and Windows.

    faiss's file is made on the first use and kept in the index's ``faiss`` folder, or in
    ``$REDREAM_CACHE`` where that cannot be written. It holds one bit a dimension (inverted lists of
    RaBitQ codes, Gao and Long, 2024); the rows that they find are read from the index and ranked
    exactly. Filters are applied while faiss searches. Below 20,000 rows every asset is compared,
    without faiss.

    Its arguments are those of :class:`ApproximateRetriever`.

    Raises:
        ValueError: If faiss is not installed.
    """

    _file: MappedFile | None = None
    """Where the codes lie, which are read when they are looked at; None of codes in memory."""

    def _probable(self, query: np.ndarray, num: int, share: float) -> np.ndarray:
        """Of the lists' rows only those that the filters leave are scored."""
        lists = self._lists
        if self._file is not None:
            self._file.require_whole()
        parameters = self._library.SearchParametersIVF(
            nprobe=max(1, round(share * lists.nlist)), sel=self._selector
        )
        _, found = lists.search(query[None], min(num, len(self._rows)), params=parameters)
        rows: np.ndarray = found[0][found[0] >= 0]
        return rows

    def restrict(self, licenses: Sequence[str]) -> None:
        """Finds only assets of some licences, and of those that its filters have, too."""
        super().restrict(licenses)
        self.__dict__.pop("_selector", None)  # it was made of the rows before

    @cached_property
    def _selector(self) -> Any:  # noqa: ANN401  (faiss ships no types)
        if len(self._rows) == len(self.index):
            return None
        return self._library.IDSelectorBitmap(np.packbits(self._allowed, bitorder="little"))

    @cached_property
    def _lists(self) -> Any:  # noqa: ANN401
        return load_or_make(
            self.index,
            f"faiss/{self.vectors.name}",
            {**self.vectors.key, "recipe": "IVF, RaBitQ, squared distance"},
            self._make,
            lambda lists, folder: self._library.write_index(lists, str(folder / _FILE)),
            self._load,
        )

    def _make(self) -> Any:  # noqa: ANN401
        """Lists and codes; vectors are read in pieces, so a large index needs little memory."""
        num_rows, num_lists = len(self.index), num_partitions(len(self.index))
        lists = self._library.index_factory(
            self.vectors.dimension, f"IVF{num_lists},RaBitQ", self._library.METRIC_L2
        )
        sample = np.random.default_rng(0).permutation(num_rows)[: 64 * num_lists]
        lists.train(self.vectors.of_equal_length(np.sort(sample)))
        for start in range(0, num_rows, _CHUNK):
            lists.add(self.vectors.of_equal_length(slice(start, start + _CHUNK)))
        return lists

    def _load(self, folder: Path) -> Any:  # noqa: ANN401
        flags = self._library.IO_FLAG_MMAP if os.name == "posix" else 0
        lists = self._library.read_index(str(folder / _FILE), flags)
        if flags:
            self._file = MappedFile(folder / _FILE, "start again, and it is made anew")
            # codes stay where they lie, and are read list by list when they are looked at
            self._library.downcast_InvertedLists(lists.invlists).prefetch_nthread = 0
        if (lists.ntotal, lists.d) != (len(self.index), self.vectors.dimension):
            raise ValueError(f"{_FILE} does not have the index's rows")
        return lists

    def _import(self) -> Any:  # noqa: ANN401
        try:
            import faiss
        except ImportError as error:
            raise ValueError(
                "FaissRetriever needs faiss, which is not installed: pip install "
                '"redream[faiss]", or use ExactRetriever'
            ) from error
        return faiss
