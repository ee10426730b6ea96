"""The table of an index, read where it lies: row groups for assets, a column for a filter."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
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

ROW_GROUP = 256
"""Rows that are written, and so read, together: of real captions a fifth of a millisecond's worth.

Half as many are read faster yet, and a million rows then have 24 MB of places to look them up in.
"""

REPEATED = ("license", "source")
"""Columns that say few different things, which are written once for a row group."""

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
        self._file = pq.ParquetFile(path)  # not mapped: who cuts it short would have us killed
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
        self._groups: OrderedDict[int, pa.Table] = OrderedDict()
        sizes = (metadata.row_group(n).num_rows for n in range(metadata.num_row_groups))
        self._starts = list(accumulate(sizes, initial=0))

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """A whole column.

        Raises:
            ValueError: If the file is damaged there.
        """
        return self._sound(self._columns, name)

    def rows(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """What is known of some assets, each by the names of ``SCHEMA``.

        Their row groups are read together, which takes a third of what they take one by one; the
        last of them are kept.

        Args:
            rows: Row numbers, in any order.

        Raises:
            IndexError: If there is no such row.
            ValueError: If the file is damaged there.
        """
        found = []
        for start in range(0, len(rows), _KEPT_GROUPS):
            some = rows[start : start + _KEPT_GROUPS]
            groups = [self._group_of(row) for row in some]
            self._keep(groups)
            for row, group in zip(some, groups, strict=True):
                record = self._groups[group].slice(row - self._starts[group], 1).to_pylist()
                found += record
        return found

    def everything(self) -> Iterator[tuple[Any, ...]]:
        """The values of each row in the order of ``SCHEMA``, from the first row on.

        Raises:
            ValueError: If the file is damaged somewhere.
        """
        for group in range(self._file.metadata.num_row_groups):
            columns = self._sound(self._read_groups, [group]).to_pydict()
            yield from zip(*columns.values(), strict=True)

    def _group_of(self, row: int) -> int:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return bisect_right(self._starts, row) - 1

    def _keep(self, groups: Sequence[int]) -> None:
        """Reads those of at most as many groups as are kept that are not there yet."""
        missing = sorted(set(groups) - self._groups.keys())
        if missing:
            read = self._sound(self._read_groups, missing)
            start = 0
            for group in missing:
                num = self._starts[group + 1] - self._starts[group]
                self._groups[group] = read.slice(start, num)
                start += num
        for group in groups:
            self._groups.move_to_end(group)
        while len(self._groups) > _KEPT_GROUPS:
            self._groups.popitem(last=False)

    def _sound(self, read: Callable[[Any], Any], which: Any) -> Any:  # noqa: ANN401  (pyarrow's)
        try:
            return read(which)
        except Exception as error:  # a stranger's file can fail anywhere inside the reader
            raise broken(self._path.parent, first_line(error)) from error

    def _read_column(self, name: str) -> pa.ChunkedArray:
        if name not in self._file.schema_arrow.names:
            return pa.chunked_array([pa.nulls(len(self), SCHEMA.field(name).type)])
        return self._file.read([name])[name]

    def _read_groups(self, groups: Sequence[int]) -> pa.Table:
        return _complete(self._file.read_row_groups(groups, use_threads=False))


def _complete(table: pa.Table) -> pa.Table:
    """The table with all columns of ``SCHEMA``, in its order."""
    unknown = {field.name: pa.nulls(len(table), field.type) for field in SCHEMA}
    present = dict(zip(table.column_names, table.columns, strict=True))
    return pa.table({name: present.get(name, unknown[name]) for name in SCHEMA.names})
