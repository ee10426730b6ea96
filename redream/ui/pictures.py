"""A picture of the object that somebody hands in: looked at by the ordinary door, and shown."""

import base64
import io
from html import escape
from pathlib import Path

from redream.pictures import open_picture
from redream.ui.safety import PICTURES, inside, keep_upload

_SIDE = 256  # of what is shown


def take_picture(file: Path, uploads: Path) -> str:
    """Keeps an uploaded picture.

    Args:
        file: Where the page's server has put it.
        uploads: Where uploads are kept.

    Returns:
        Its name below that folder.

    Raises:
        ValueError: If it is no picture, or too large; one line.
    """
    kept = keep_upload(file, file.name, uploads, PICTURES)
    try:
        _small(kept)
    except (ValueError, OSError, SyntaxError) as error:  # Pillow's, of a damaged PNG
        kept.unlink()
        raise ValueError(f"{kept.name} cannot be used: {error}") from error
    return kept.relative_to(uploads).as_posix()


def shown(name: str, uploads: Path) -> str:
    """A kept picture as the page shows it; empty where there is none."""
    if not name:
        return ""
    try:
        picture = base64.b64encode(_small(inside(uploads, name))).decode()
    except (ValueError, OSError, SyntaxError):
        return ""
    title = escape(name.rpartition("/")[2])
    return (
        f'<figure class="rd-own"><img src="data:image/png;base64,{picture}" alt="">'
        f'<figcaption class="rd-soft">{title}: what it shall look like from its front</figcaption>'
        "</figure>"
    )


def _small(path: Path) -> bytes:
    with open_picture(path) as picture:
        small = picture.convert("RGBA")
    small.thumbnail((_SIDE, _SIDE))
    data = io.BytesIO()
    small.save(data, "PNG")
    return data.getvalue()
