"""The one door through which pictures come in: few formats, whatever a file calls itself.

A picture's content decides which of Pillow's readers gets it, not its name or media type, and
Pillow has readers that start a program (Ghostscript, for an EPS). So that no picture inside a
stranger's model reaches one of these, nothing else in ReDream opens a picture with Pillow.
"""

import io
import warnings
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TGA", "GIF", "TIFF")
"""What is opened, in Pillow's names: formats whose readers are Pillow's own code."""

MAX_PIXELS = 1 << 26
"""Of one picture, 8192 x 8192: a compressed megabyte may stand for gigabytes."""


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
        name = f"{source}, " if isinstance(source, Path) else ""
        raise ValueError(f"{name}a picture of {size} is too large to be read: make it smaller")
    return picture
