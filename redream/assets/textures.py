"""The pictures of a 3D file as textures, each read once and within bounds."""

import math
from collections.abc import Callable, Hashable

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from redream.assets.decoded import DECODED
from redream.errors import first_line
from redream.pictures import open_picture

_MAX_TOTAL = 1 << 30  # pixels of all pictures of a file
_MAX_TEXELS = 2048  # a side
_NUM_LARGE = 8  # pictures that may be so large; of more, each is smaller
_GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N", "I")


class Textures:
    """From the bytes of pictures to textures.

    What is longer than 2048 texels a side is made smaller, colour and alpha apart: assets are seen
    at some hundred pixels, and one picture of 8192 x 8192 would take a gigabyte. Where a file has
    more than 8 pictures they share the memory of 8.

    A picture that cannot be read, is cut short or too large is None, and :attr:`unread` says why:
    half of a picture would colour an asset by chance, and without one the material's own colour
    shows.

    Args:
        num_pictures: How many pictures the file has.
    """

    def __init__(self, num_pictures: int) -> None:
        self._side = int(_MAX_TEXELS * math.sqrt(min(1.0, _NUM_LARGE / max(num_pictures, 1))))
        self._num_pixels = 0
        self._pixels: dict[Hashable, np.ndarray | None] = {}
        self._textures: dict[Hashable, Tensor] = {}
        self.unread: dict[Hashable, str] = {}

    def rgba(
        self, key: Hashable, read: Callable[[], bytes], cutoff: float | None = None
    ) -> Float[Tensor, "H W 4"] | None:
        """A picture as RGBA in [0, 1], row 0 at the top.

        Args:
            key: Which picture it is; read once.
            read: Gives its bytes.
            cutoff: Alpha from which it is opaque, and below which it is transparent; None keeps
                alpha.

        Returns:
            The texture; None where the picture cannot be read.
        """
        pixels = self.pixels(key, read)
        if pixels is None:
            return None
        if (key, cutoff) not in self._textures:
            texture = _unit(pixels)
            if cutoff == -math.inf:
                texture[..., 3] = 1.0
            elif cutoff is not None:
                texture[..., 3] = (texture[..., 3] >= cutoff).float()
            self._textures[key, cutoff] = texture
        return self._textures[key, cutoff]

    def rgb(self, key: Hashable, read: Callable[[], bytes]) -> Float[Tensor, "H W 3"] | None:
        """A picture's colours in [0, 1], whatever its alpha; see :meth:`rgba`."""
        pixels = self.pixels(key, read)
        if pixels is None:
            return None
        if (key, "rgb") not in self._textures:
            self._textures[key, "rgb"] = _unit(pixels[..., :3])
        return self._textures[key, "rgb"]

    def pixels(self, key: Hashable, read: Callable[[], bytes]) -> np.ndarray | None:
        """A picture as ``H W 4`` bytes, read-only; see :meth:`rgba`."""
        if key not in self._pixels:
            self._pixels[key] = self._decoded(key, read)
        return self._pixels[key]

    def _decoded(self, key: Hashable, read: Callable[[], bytes]) -> np.ndarray | None:
        try:
            content = read()
            with open_picture(content) as picture:  # its size alone
                num = picture.width * picture.height
                if self._num_pixels + num > _MAX_TOTAL:
                    raise ValueError("the pictures before it have all the pixels that a file may")
                self._num_pixels += num
            return DECODED.get(content, self._side, _decode)
        except Exception as error:  # a stranger's picture can fail anywhere inside the readers
            self.unread[key] = first_line(error)
            return None


def _decode(content: bytes, side: int) -> np.ndarray:
    with open_picture(content) as picture:
        return np.asarray(_smaller(_eight_bits(picture, side), side))


def _unit(pixels: np.ndarray) -> Tensor:
    """Bytes as float32 in [0, 1], in memory of their own."""
    texture = np.empty(pixels.shape, dtype=np.float32)
    return torch.from_numpy(np.divide(pixels, np.float32(255.0), out=texture))


def _eight_bits(picture: Image.Image, side: int) -> Image.Image:
    """A picture of any mode as RGBA of 8 bits; greys of 16 bits are scaled, not cut off."""
    if picture.mode in _GREY_16:
        grey = np.asarray(picture).astype(np.float64)
        top = 65535.0 if picture.mode != "I" or grey.max() > 255.0 else 255.0
        picture = Image.fromarray((grey * (255.0 / top)).round().clip(0, 255).astype(np.uint8))
    elif picture.mode == "F":
        grey = np.nan_to_num(np.asarray(picture))
        picture = Image.fromarray((grey * 255.0).round().clip(0, 255).astype(np.uint8))
    elif picture.format == "JPEG" and picture.mode == "RGB" and min(picture.size) > side:
        picture.draft("RGB", (side, side))  # decodes no more than is needed
    return picture if picture.mode == "RGBA" else picture.convert("RGBA")


def _smaller(picture: Image.Image, max_side: int) -> Image.Image:
    if max(picture.size) <= max_side:
        return picture
    ratio = max_side / max(picture.size)
    size = (max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio)))
    color = picture.convert("RGB").resize(size, Image.Resampling.BOX)
    color.putalpha(picture.getchannel("A").resize(size, Image.Resampling.BOX))
    return color
