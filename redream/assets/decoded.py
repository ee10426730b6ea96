"""Pictures decoded lately, found again by their content: the models of a pack share a few."""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from threading import Lock

import numpy as np

_MAX_BYTES = 128 << 20  # 8 pictures of 2048 x 2048, or 32 of 1024 x 1024


class DecodedPictures:
    """Keeps the pixels that were asked for last, within a bound of memory.

    Args:
        max_bytes: How much the kept pixels may take; larger pictures are not kept.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._kept: OrderedDict[tuple[bytes, int], np.ndarray] = OrderedDict()
        self._lock = Lock()

    def get(
        self, content: bytes, side: int, decode: Callable[[bytes, int], np.ndarray]
    ) -> np.ndarray:
        """The pixels of a picture, read-only, for they are handed out again.

        Args:
            content: The picture's file.
            side: The most texels of a side.
            decode: Decodes it; an error of its own passes, and is not kept.

        Returns:
            What ``decode`` gave for this content and side.
        """
        key = (blake2b(content).digest(), side)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        pixels = decode(content, side)
        pixels.setflags(write=False)
        with self._lock:
            if key not in self._kept and pixels.nbytes <= self._max_bytes:
                self._kept[key] = pixels
                self._num_bytes += pixels.nbytes
            while self._num_bytes > self._max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._num_bytes -= oldest.nbytes
        return pixels

    def clear(self) -> None:
        """Forgets them."""
        with self._lock:
            self._kept.clear()
            self._num_bytes = 0


DECODED = DecodedPictures()
"""Of this process."""
