"""The table of an index, read where it lies: a row group for an asset, a column for a filter."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from redream.errors import first_line
from redream.retrieval.faults import broken

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("uid", "caption", "license", "author", "source")),
        ("categories", pa.list_(pa.string())),
        ("num_faces", pa.int64()),
        ("num_animations", pa.int64()),
    ]
)
"""The columns of the table, named like the attributes of an :class:`~redream.types.Asset`."""

ROW_GROUP = 8192
"""Rows that are written, and so read, together: a few milliseconds' worth."""

_KEPT_GROUPS = 64
_MAX_ROW = 4096  # bytes of the table for each asset


class AssetTable:
    """What is known of each row's asset; a million of them open in a millisecond.

    Columns that the version that wrote the file did not have yet are unknown in every row.

    Args:
        path: The parquet file.
        count: The rows that it must have; None for any number.

    Raises:
        ValueError: If a column that every version has is missing or of another type, if there are
            other rows, or much more bytes than captions take: compression can hide gigabytes.
        pyarrow.ArrowException: If the file is no such table.
    """

    def __init__(self, path: Path, count: int | None = None) -> None:
        self._path = path
        self._file = pq.ParquetFile(path, memory_map=True)
        metadata = self._file.metadata
        size = sum(metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups))
        if count is not None and len(self) != count:
            raise ValueError(f"its files do not have the {count} rows of its manifest")
        if size > _MAX_ROW * (len(self) + 4096):
            raise ValueError(f"{path.name} claims {size} bytes for {len(self)} assets")
        for field in SCHEMA:
            present = field.name in self._file.schema_arrow.names
            if field.type == pa.string() and not present:
                raise ValueError(f"{path.name} lacks the column {field.name}")
            kind = self._file.schema_arrow.field(field.name).type if present else field.type
            if kind != field.type:
                raise ValueError(f"{path.name} has {kind} instead of {field.type} in {field.name}")
        self._columns = lru_cache(maxsize=len(SCHEMA))(self._read_column)
        self._group = lru_cache(maxsize=_KEPT_GROUPS)(self._read_group)

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """A whole column.

        Raises:
            ValueError: If the file is damaged there.
        """
        return self._sound(self._columns, name)

    def row(self, row: int) -> dict[str, Any]:
        """What is known of one asset, by the names of ``SCHEMA``.

        Raises:
            IndexError: If there is no such row.
            ValueError: If the file is damaged there.
        """
        start = 0
        for group in range(self._file.num_row_groups):
            end = start + self._file.metadata.row_group(group).num_rows
            if start <= row < end:
                table = self._sound(self._group, group)
                record: dict[str, Any] = table.slice(row - start, 1).to_pylist()[0]
                return record
            start = end
        raise IndexError(f"row {row} of {start}")

    def _sound(self, read: Callable[[Any], Any], which: Any) -> Any:  # noqa: ANN401  (pyarrow's)
        try:
            return read(which)
        except Exception as error:  # a stranger's file can fail anywhere inside the reader
            raise broken(self._path.parent, first_line(error)) from error

    def _read_column(self, name: str) -> pa.ChunkedArray:
        if name not in self._file.schema_arrow.names:
            return pa.chunked_array([pa.nulls(len(self), SCHEMA.field(name).type)])
        return self._file.read([name])[name]

    def _read_group(self, group: int) -> pa.Table:
        return _complete(self._file.read_row_group(group))


def _complete(table: pa.Table) -> pa.Table:
    """The table with all columns of ``SCHEMA``, in its order."""
    unknown = {field.name: pa.nulls(len(table), field.type) for field in SCHEMA}
    present = dict(zip(table.column_names, table.columns, strict=True))
    return pa.table({name: present.get(name, unknown[name]) for name in SCHEMA.names})
