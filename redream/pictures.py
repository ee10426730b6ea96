"""The one door through which pictures come in: few formats, whatever a file calls itself.

A picture's content decides which of Pillow's readers gets it, not its name or media type, and
Pillow has readers that start a program (Ghostscript, for an EPS). So that no picture inside a
stranger's model reaches one of these, nothing else in ReDream opens a picture with Pillow, and
libraries that do so on our behalf are called within :func:`known_formats_only`.
"""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from PIL import Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TGA", "GIF", "TIFF")
"""What is opened, in Pillow's names: formats whose readers are Pillow's own code."""

MAX_PIXELS = 1 << 26
"""Of one picture, 8192 x 8192: a compressed megabyte may stand for gigabytes."""

_lock = threading.Lock()
_num_within = 0  # blocks that are being run
_pillows_own: Any = Image.open


def open_picture(source: bytes | Path | IO[bytes]) -> Image.Image:
    """Opens a picture, which is decoded later, when its pixels are asked for.

    Args:
        source: Its content, or the file that has it.

    Returns:
        The picture; close it, or open it in a ``with`` block.

    Raises:
        ValueError: If it is in none of the formats, or claims more pixels than any asset needs.
        OSError: If it cannot be read.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it is measured below
            picture = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        name = str(source) if isinstance(source, Path) else "a picture"
        raise ValueError(f"{name} is none of {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"a picture is too large to be read: {error}") from error
    if picture.width * picture.height > MAX_PIXELS:
        picture.close()
        size = f"{picture.width} x {picture.height}"
        raise ValueError(f"a picture of {size} is too large to be read: make it smaller")
    return picture


@contextmanager
def known_formats_only() -> Iterator[None]:
    """Within the block Pillow opens no other formats, whoever asks: for libraries that ask it.

    Other threads are held to the formats as long; blocks may overlap.
    """
    global _num_within, _pillows_own
    with _lock:
        if not _num_within:
            _pillows_own, Image.open = Image.open, _open_known  # type: ignore[assignment]
        _num_within += 1
    try:
        yield
    finally:
        with _lock:
            _num_within -= 1
            if not _num_within:
                Image.open = _pillows_own


def _open_known(
    fp: Any,  # noqa: ANN401
    mode: Any = "r",  # noqa: ANN401
    formats: Any = None,  # noqa: ANN401
) -> Image.Image:
    """Pillow's ``Image.open`` with formats that are known and, where some are asked for, asked."""
    asked = FORMATS if formats is None else tuple(each for each in FORMATS if each in formats)
    opened: Image.Image = _pillows_own(fp, mode, asked)
    return opened
