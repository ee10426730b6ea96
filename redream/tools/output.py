"""Files and folders that a tool writes: tried before the work, and never left half-written."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from redream.files import whole_file

_LINE = 14  # pixels of a line of text


def require_writable(folder: Path) -> None:
    """Finds out whether a folder can be made and written to, without making it.

    Raises:
        OSError: If it cannot; the message says why in one line.
    """
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not existing.is_dir():
        raise NotADirectoryError(f"cannot write to {folder}: {existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(f"cannot write to {folder}: no permission for {existing}")


def labelled_sheet(rows: Sequence[tuple[str, Float[Tensor, "B 3 H W"]]]) -> Image.Image:
    """Lays pictures out, one line of text and one row of pictures after another.

    Args:
        rows: For each row its text and its pictures in [0, 1], all of one size.

    Returns:
        The sheet, as wide as the longest row.

    Raises:
        ValueError: If there is no row.
    """
    if not rows:
        raise ValueError("there are no rows of pictures to show")
    num = max(len(pictures) for _, pictures in rows)
    height, width = rows[0][1].shape[-2:]
    sheet = Image.new("RGB", (num * width, len(rows) * (height + _LINE)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (text, pictures) in enumerate(rows):
        top = row * (height + _LINE)
        draw.text((2, top + 1), text, fill="black")
        strip = torch.cat(list(pictures), dim=-1).clamp(0.0, 1.0).permute(1, 2, 0)
        array = (strip * 255.0).round().to(torch.uint8).cpu().numpy()
        sheet.paste(Image.fromarray(array), (0, top + _LINE))
    return sheet


def write_contact_sheet(rows: Sequence[tuple[str, Float[Tensor, "B 3 H W"]]], path: Path) -> None:
    """Writes :func:`labelled_sheet` as a PNG.

    Args:
        rows: For each row its text and its pictures in [0, 1], all of one size.
        path: The file; its folder is made where it is missing.
    """
    sheet = labelled_sheet(rows)
    with whole_file(path) as temporary:
        sheet.save(temporary, format="PNG")
