"""Arrays that lie beside an index, opened by one thread at a time."""

from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np

_ONE_HEADER = Lock()
"""NumPy's headers are literals, and threads that parse some at once may confuse Python 3.11 (seen
up to 3.11.7): a SystemError of its parser, and an index that is whole was called broken."""


def load_array(path: Path, mode: Literal["r"] | None = "r") -> np.ndarray:
    """Opens a .npy file.

    Args:
        path: The file.
        mode: ``r`` leaves it on the disk until it is read, None reads it.

    Returns:
        The array.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is no array of numbers.
        EOFError: If it is empty.
    """
    with _ONE_HEADER:
        array: np.ndarray = np.load(path, mmap_mode=mode, allow_pickle=False)
    return array
