"""A file that is read through a mapping, whose end is looked at before it is."""

import mmap
from pathlib import Path

_LET_GO = getattr(mmap, "MADV_DONTNEED", None)  # Windows has none


class MappedFile:
    """A mapping of a whole file, which holds it open.

    A process that touches a mapping beyond the end of its file is killed without a word. ReDream
    replaces files and never shortens one; what others do is noticed by the length, if it is looked
    at before each read.

    Args:
        path: The file, which has at least a byte.
        cure: What to do where it was cut short.

    Attributes:
        path: The file.
        bytes: What it holds, as a buffer.
    """

    def __init__(self, path: str | Path, cure: str = "build the index again") -> None:
        self.path, self.cure = path, cure
        with open(path, "rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def require_whole(self) -> None:
        """Notices that the file became shorter; one call of the system.

        Raises:
            OSError: If it did.
        """
        if self.bytes.size() < len(self.bytes):
            raise OSError(f"{self.path} was cut short while it was read: {self.cure}")

    def let_go(self) -> None:
        """What was touched is no memory of this process any more, but of the system's cache."""
        if _LET_GO is not None:
            self.bytes.madvise(_LET_GO)
