"""Rows of a matrix on disk, a few at a time, without the memory of all that lies around them."""

import mmap
import os
import weakref
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np

from redream.retrieval.mapped import MappedFile

_AT_ONCE = 512  # rows read or touched at once: 768 kB of them, and 32 MB of their neighbourhoods


class Rows:
    """Reads rows of a matrix that lies in a ``.npy`` file.

    A row that is touched in a mapping brings its neighbourhood along: from a cold disk 128 kB for
    one of a kilobyte and a half, and from the system's cache sixteen pages, which count as memory
    of this process until they are let go. So each row, and each range of them, is read by a call
    of the system. Two hundred rows of 768 take 0.7 ms of the processor that way; touched in a
    mapping and let go they took 1.8. A matrix that lies column by column is read through a mapping
    of its own. Where nothing is mapped, rows are taken from the array.

    Args:
        vectors: ``rows D``, an array or a mapping of a ``.npy`` file.
        dtype: Of what is given; by default that of the matrix.
    """

    def __init__(self, vectors: np.ndarray, dtype: type[np.floating] | None = None) -> None:
        self._vectors, self._dtype = vectors, np.dtype(vectors.dtype if dtype is None else dtype)
        self._source: _Positions | _Mapping | None = None
        name = getattr(vectors, "filename", None)
        if name is not None and isinstance(vectors.base, mmap.mmap) and vectors.size > 0:
            is_by_rows = vectors.flags.c_contiguous
            self._source = _Positions(vectors) if is_by_rows else _Mapping(vectors)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """The rows of a range, or of those numbers in their order; ascending ones are faster.

        Raises:
            IndexError: If there is no such row.
            OSError: If the file has become shorter.
        """
        if self._source is None:
            return self._vectors[rows].astype(self._dtype)
        numbers = range(len(self._vectors))[rows] if isinstance(rows, slice) else rows
        found = np.empty((len(numbers), *self._vectors.shape[1:]), self._dtype)
        for start in range(0, len(numbers), _AT_ONCE):
            found[start : start + _AT_ONCE] = self._source.read(numbers[start : start + _AT_ONCE])
        return found


class PlacedFile:
    """A file that is read by places, and held open: who replaces it does not change it.

    Args:
        path: The file.
        cure: What to do where it was cut short.
    """

    def __init__(self, path: str | Path, cure: str = "build the index again") -> None:
        self.path, self.cure = path, cure
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self._file)
        self._alone = Lock()

    def read(self, start: int, size: int) -> bytes:
        """Bytes from a place on.

        Raises:
            OSError: If the file has become shorter.
        """
        if hasattr(os, "pread"):
            read = os.pread(self._file, size, start)  # whole, but at the file's end
        else:
            with self._alone:
                os.lseek(self._file, start, os.SEEK_SET)
                read = os.read(self._file, size)
        if len(read) < size:
            raise OSError(f"{self.path} was cut short while it was read: {self.cure}")
        return read


class _Positions:
    """Reads rows of a matrix by their places in its file, which it holds open.

    Args:
        vectors: A mapping of a file, row by row.
    """

    def __init__(self, vectors: Any) -> None:  # noqa: ANN401  (numpy's memmap)
        self._file, self._offset = PlacedFile(vectors.filename), int(vectors.offset)
        self._dtype, self._shape = vectors.dtype, vectors.shape
        self._width = vectors.itemsize * vectors.size // len(vectors)

    def read(self, some: range | np.ndarray) -> np.ndarray:
        """Those rows; neighbours by one call of the system."""
        if isinstance(some, range) and some.step == 1:
            read = self._at(some.start, len(some))
        else:
            least, most = (min(some), max(some)) if len(some) > 0 else (0, 0)
            if least < 0 or most >= self._shape[0]:
                raise IndexError(f"rows {least} to {most} of {self._shape[0]}")
            each = some if isinstance(some, range) else some.tolist()
            read = b"".join([self._at(row, 1) for row in each])
        return np.frombuffer(read, self._dtype).reshape(len(some), *self._shape[1:])

    def _at(self, row: int, num: int) -> bytes:
        return self._file.read(self._offset + row * self._width, num * self._width)


class _Mapping:
    """Reads rows of a matrix through a mapping of its own, and lets go of what was touched.

    Args:
        vectors: A mapping of a file.
    """

    def __init__(self, vectors: Any) -> None:  # noqa: ANN401  (numpy's memmap)
        self._file = MappedFile(vectors.filename)
        order: Literal["C", "F"] = "C" if vectors.flags.c_contiguous else "F"
        flat = np.frombuffer(self._file.bytes, vectors.dtype, vectors.size, int(vectors.offset))
        self._vectors = flat.reshape(vectors.shape, order=order)

    def read(self, some: range | np.ndarray) -> np.ndarray:
        """Those rows, after a look at the file's length."""
        self._file.require_whole()
        found: np.ndarray = self._vectors[_as_slice(some)].copy()
        self._file.let_go()
        return found


def _as_slice(some: range | np.ndarray) -> slice | np.ndarray:
    """An ascending range as a slice, which NumPy reads without a list of numbers."""
    if isinstance(some, range) and some.step > 0:
        return slice(some.start, some.stop, some.step)
    return np.asarray(some)
