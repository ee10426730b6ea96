"""The pictures of a 3D file as textures, each read once and within bounds."""

import math
from collections.abc import Collection

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

MAX_PIXELS = 1 << 26
"""Of one picture, 8192 x 8192: a compressed megabyte may stand for gigabytes."""

_MAX_TOTAL = 1 << 30  # pixels of all pictures of a file
_MAX_TEXELS = 2048  # a side
_NUM_LARGE = 16  # pictures that may be so large; of more, each is smaller


class Textures:
    """From PIL's images, which are not decoded yet, to textures.

    What is longer than 2048 texels a side is made smaller, colour and alpha apart: assets are seen
    at some hundred pixels, and one picture of 8192 x 8192 would take a gigabyte. Where a file has
    more than 16 pictures they share the memory of 16.

    Args:
        pictures: The pictures that the file uses.
    """

    def __init__(self, pictures: Collection[Image.Image]) -> None:
        num = len({id(picture) for picture in pictures})
        self._side = int(_MAX_TEXELS * math.sqrt(min(1.0, _NUM_LARGE / max(num, 1))))
        self._pixels = 0
        self._read: dict[int, Tensor] = {}

    def of(self, picture: Image.Image) -> Float[Tensor, "H W 4"]:
        """A picture as RGBA in [0, 1], row 0 at the top.

        Raises:
            ValueError: If it, or all of them, have more pixels than any asset needs; found before
                decoding.
        """
        if id(picture) not in self._read:
            num = picture.width * picture.height
            self._pixels += num
            if num > MAX_PIXELS or self._pixels > _MAX_TOTAL:
                size = f"{picture.width} x {picture.height}"
                raise ValueError(f"its picture of {size} is too large to be read: make it smaller")
            self._read[id(picture)] = _tensor(picture, self._side)
        return self._read[id(picture)]


def _tensor(picture: Image.Image, max_side: int) -> Float[Tensor, "H W 4"]:
    picture = picture.convert("RGBA")
    if max(picture.size) > max_side:
        ratio = max_side / max(picture.size)
        size = (max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio)))
        color = picture.convert("RGB").resize(size, Image.Resampling.BOX)
        alpha = picture.getchannel("A").resize(size, Image.Resampling.BOX)
        color.putalpha(alpha)
        picture = color
    return torch.from_numpy(np.array(picture)).float() / 255.0
