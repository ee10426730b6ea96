"""The figures' pictures: sheets small enough for the documentation, and films read back."""

import io
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional

from redream.files import whole_file

MOST_BYTES = 150_000
_PALETTES = (256, 128, 64, 32)


def write_small_png(image: Image.Image, path: Path, most_bytes: int = MOST_BYTES) -> None:
    """Writes a picture as PNG, with as many colours as there is room for.

    Args:
        image: The picture.
        path: The file.
        most_bytes: How large the file may be.

    Raises:
        ValueError: If it is too large even with few colours.
    """
    for num_colors in _PALETTES:
        buffer = io.BytesIO()
        image.quantize(num_colors).save(buffer, format="PNG", optimize=True)
        if buffer.tell() <= most_bytes:
            with whole_file(path) as temporary:
                temporary.write_bytes(buffer.getvalue())
            return
    raise ValueError(f"{path.name} would have {buffer.tell()} bytes: show fewer pictures")


def read_film(path: Path) -> Float[Tensor, "B 3 H W"]:
    """The frames of a turntable in [0, 1]."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(path)]
    command += ["-f", "image2pipe", "-c:v", "ppm", "-"]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    _, size, _ = data[:64].split(b"\n")[:3]  # P6, width and height, 255; then the pixels
    width, height = map(int, size.split())
    head = len(data[:64].split(b"\n255\n")[0]) + len(b"\n255\n")
    frames = np.frombuffer(data, np.uint8).reshape(-1, head + 3 * width * height)[:, head:]
    pictures = torch.from_numpy(frames.reshape(-1, height, width, 3).copy())
    return pictures.permute(0, 3, 1, 2).float() / 255.0


def read_png(path: Path) -> Float[Tensor, "3 H W"]:
    """A picture in [0, 1]."""
    with Image.open(path) as image:
        pixels = np.array(image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255.0


def quarter_views(
    frames: Float[Tensor, "B 3 H W"], first_deg: float = 30.0
) -> Float[Tensor, "4 3 H W"]:
    """Four views of a turntable, a quarter of a turn apart, from beside the front on."""
    num = len(frames)
    return frames[[round(num * (first_deg / 360.0 + i / 4.0)) % num for i in range(4)]]


def resized(pictures: Float[Tensor, "B 3 H W"], size: int) -> Float[Tensor, "B 3 size size"]:
    """Square pictures of another size."""
    return functional.interpolate(pictures, (size, size), mode="bilinear", antialias=True).clamp(
        0.0, 1.0
    )
