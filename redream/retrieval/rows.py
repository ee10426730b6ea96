"""Rows of a matrix on disk, a few at a time, without the memory of all that lies around them."""

import os
import weakref

import numpy as np

_AROUND = 1 << 17  # bytes that are put into the system's cache around a row that was not there
_AT_ONCE = getattr(os, "RWF_NOWAIT", 0)  # read what is in the cache, or nothing


class Rows:
    """Reads rows of a matrix that is mapped from a file, by the file instead of the mapping.

    A row that is touched in a mapping brings its neighbourhood along, and both count as memory of
    this process from then on: a hundred queries and all of a large index is there. What is read
    from the file is in the system's cache alone. Where the system cannot read at a place
    (Windows), and where nothing is mapped, rows are taken from the array.

    Args:
        vectors: ``rows D``, an array or a mapping of a ``.npy`` file.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self._vectors, self._file = vectors, -1
        name = getattr(vectors, "filename", None)
        is_plain = vectors.ndim == 2 and vectors.flags.c_contiguous and vectors.shape[1] > 0
        if name is not None and is_plain and hasattr(os, "preadv"):
            self._file = os.open(name, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """The rows of those numbers, in their order, each within the matrix.

        Raises:
            OSError: If the file has become shorter.
        """
        if self._file < 0:
            taken: np.ndarray = self._vectors[rows]
            return taken
        found = np.empty((len(rows), self._vectors.shape[1]), self._vectors.dtype)
        width = found.shape[1] * found.itemsize
        start, into = (
            int(getattr(self._vectors, "offset", 0)),
            found.reshape(-1).view(np.uint8).data,
        )
        for place, row in enumerate(rows.tolist()):
            part = into[place * width : (place + 1) * width]
            if self._read(part, start + row * width) != width:
                name = getattr(self._vectors, "filename", "its file")
                raise OSError(f"{name} was cut short while it was read: build the index again")
        return found

    def _read(self, into: memoryview, place: int) -> int:
        """Reads a row; where it is not in the system's cache, its neighbourhood is put there too.

        A disk reads many rows as fast as one, and a mapping would have brought them along.
        """
        try:
            num = os.preadv(self._file, [into], place, _AT_ONCE) if _AT_ONCE else 0
        except OSError:  # it is not there, or the file system cannot say
            num = 0
        if num == len(into):
            return num
        if hasattr(os, "posix_fadvise"):
            first = max(0, place - _AROUND // 2)
            os.posix_fadvise(self._file, first, _AROUND, os.POSIX_FADV_WILLNEED)
        return os.preadv(self._file, [into], place)
