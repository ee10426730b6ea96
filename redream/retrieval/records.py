"""What is known of each row's asset, in a file from which single rows are read at once.

A table in parquet is small and everybody's, and made to be read by columns: of ten assets it
decodes ten groups of rows. For large libraries the same facts are kept a second time, a line of
JSON for each row with the place where it starts, from which ten assets take a tenth of that.
"""

import json
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from redream.plain_data import read_json
from redream.retrieval.arrays import load_array
from redream.retrieval.derived import load_or_make
from redream.retrieval.index import TABLE, EmbeddingIndex
from redream.retrieval.rows import PlacedFile, Rows
from redream.retrieval.table import SCHEMA, AssetTable

_LINES, _STARTS = "records.jsonl", "starts.npy"


class RowSource(Protocol):
    """What knows the assets of some rows: a table, or its records."""

    def rows(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """What is known of some assets, each by the names of ``SCHEMA``."""


def records_of(index: EmbeddingIndex) -> RowSource:
    """The records of an index, made and kept on the first use, which answers from the table yet."""

    def make() -> RowSource:
        return index.table

    def load(folder: Path) -> RowSource:
        return Records(folder, len(index))

    key = {"table": index.manifest["files"][TABLE]["sha256"], "recipe": "lines of JSON"}
    return load_or_make(index, "records", key, make, write_records, load)


def write_records(table: RowSource, folder: Path) -> None:
    """Writes all that a table knows into a folder."""
    assert isinstance(table, AssetTable)
    sizes = []
    with (folder / _LINES).open("wb") as file:
        for values in table.everything():
            line = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            sizes.append(file.write(line))
    starts = np.fromiter(accumulate(sizes, initial=0), np.int64, len(sizes) + 1)
    np.save(folder / _STARTS, starts, allow_pickle=False)


class Records:
    """What is known of some assets, read by their places.

    Args:
        folder: What :func:`write_records` wrote.
        count: The rows that it must have.

    Raises:
        ValueError: If it has others.
    """

    def __init__(self, folder: Path, count: int) -> None:
        starts = load_array(folder / _STARTS)
        if starts.dtype != np.int64 or starts.shape != (count + 1,):
            raise ValueError(f"{_STARTS} does not have the index's rows")
        self._starts, self._count = Rows(starts), count
        self._lines = PlacedFile(folder / _LINES, "start again, and it is made anew")

    def rows(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """See :meth:`RowSource.rows`.

        Raises:
            IndexError: If there is no such row.
            OSError: If the file has become shorter.
            ValueError: If it is damaged there.
        """
        for row in rows:
            if not 0 <= row < self._count:
                raise IndexError(f"row {row} of {self._count}")
        both = np.array([[row, row + 1] for row in rows], dtype=np.int64).reshape(-1)
        places = self._starts[both].reshape(-1, 2).tolist()
        return [self._record(start, end) for start, end in places]

    def _record(self, start: int, end: int) -> dict[str, Any]:
        if not 0 <= start < end:
            raise ValueError(f"{self._lines.path} is damaged: {self._lines.cure}")
        line = self._lines.read(start, end - start)
        try:
            values = read_json(line)
            if not isinstance(values, list) or len(values) != len(_KINDS):
                raise ValueError("it is no record")
            if not all(map(_fits, values, _KINDS)):
                raise ValueError("it is no record")
        except ValueError as error:
            raise ValueError(f"{self._lines.path} is damaged: {self._lines.cure}") from error
        return dict(zip(SCHEMA.names, values, strict=True))


_KINDS = [str(field.type) for field in SCHEMA]


def _fits(value: object, kind: str) -> bool:
    """Whether a value is of a column's kind, or unknown."""
    if value is None:
        return True
    if kind == "string":
        return isinstance(value, str)
    if kind == "int64":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
