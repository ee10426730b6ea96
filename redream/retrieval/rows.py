"""Rows of a matrix on disk, a few at a time, without the memory of all that lies around them."""

import mmap

import numpy as np

from redream.retrieval.mapped import MappedFile

_AT_ONCE = 512  # rows between two looks at the file's length; their neighbourhoods are 32 MB


class Rows:
    """Reads rows of a matrix that is mapped from a file, through a mapping of its own.

    A row that is touched in a mapping brings its neighbourhood along, and both count as memory of
    this process: a hundred queries and all of a large index is there. So what was touched is let
    go after each few hundred rows, and stays in the system's cache alone. Reading each row by a
    call of the system would do the same, and takes three times as long. Where nothing is mapped,
    rows are taken from the array.

    Args:
        vectors: ``rows D``, an array or a mapping of a ``.npy`` file.
        dtype: Of what is given; by default that of the matrix.
    """

    def __init__(self, vectors: np.ndarray, dtype: type[np.floating] | None = None) -> None:
        self._vectors, self._dtype = vectors, np.dtype(vectors.dtype if dtype is None else dtype)
        self._file: MappedFile | None = None
        name = getattr(vectors, "filename", None)
        if name is not None and isinstance(vectors.base, mmap.mmap) and vectors.size > 0:
            self._file = MappedFile(name)
            order = "C" if vectors.flags.c_contiguous else "F"
            offset = int(getattr(vectors, "offset", 0))
            flat = np.frombuffer(self._file.bytes, vectors.dtype, vectors.size, offset)
            self._vectors = flat.reshape(vectors.shape, order=order)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """The rows of a range, or of those numbers in their order; ascending ones are faster.

        Raises:
            OSError: If the file has become shorter.
        """
        if self._file is None:
            return self._vectors[rows].astype(self._dtype)
        numbers = range(len(self._vectors))[rows] if isinstance(rows, slice) else rows
        found = np.empty((len(numbers), *self._vectors.shape[1:]), self._dtype)
        for start in range(0, len(numbers), _AT_ONCE):
            some = numbers[start : start + _AT_ONCE]
            self._file.require_whole()
            found[start : start + _AT_ONCE] = self._vectors[_as_slice(some)]
            self._file.let_go()
        return found


def _as_slice(some: range | np.ndarray) -> slice | np.ndarray:
    """An ascending range as a slice, which NumPy reads without a list of numbers."""
    if isinstance(some, range) and some.step > 0:
        return slice(some.start, some.stop, some.step)
    return np.asarray(some)
