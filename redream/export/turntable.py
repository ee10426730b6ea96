"""Pictures of a particle from all around: rendering, contact sheets, and the turntable film."""

import io
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import imageio_ffmpeg
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from redream.files import whole_file
from redream.representations.base import Representation
from redream.types import Cameras, Views


def device_of(particle: Representation) -> torch.device:
    """The device that a particle lives on; the CPU where it has no parameters."""
    parameter = next(particle.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


@torch.no_grad()
def render_views(
    particle: Representation, cameras: Cameras, size: int, normals: bool = False
) -> Iterator[Views]:
    """Renders square views as a finished scene shows them, one at a time to bound the memory.

    Args:
        particle: What to render; its training mode is restored afterwards.
        cameras: From where.
        size: Height and width in pixels.
        normals: Whether the views' normals are wanted, which take time; they may be 0 if not.

    Yields:
        The views of each camera, on the particle's device.
    """
    device, training = device_of(particle), particle.training
    particle.eval()
    try:
        with particle.finished(normals):
            for i in range(cameras.num):
                yield particle.render(cameras.select(slice(i, i + 1)).to(device), size, size)
    finally:
        particle.train(training)


def coarser(views: Views, rays: int) -> Views:
    """Views of pixels that have several rays along each side, averaged: colours and opacity.

    Args:
        views: Height and width are multiples of ``rays``; depth and normals are not averaged, and
            left as they are.
        rays: Pixels that become one, along each side.
    """
    rgb, opacity = (avg_pool2d(each, rays) for each in (views.rgb, views.opacity))
    return views._replace(rgb=rgb, opacity=opacity)


def over_white(views: Views) -> Float[Tensor, "B 3 H W"]:
    """Views over white, in [0, 1] on the CPU."""
    white = torch.ones(1, 3, 1, 1, device=views.rgb.device)
    return views.over(white).clamp(0.0, 1.0).float().cpu()


def render_over_white(
    particle: Representation, cameras: Cameras, size: int
) -> Float[Tensor, "B 3 {size} {size}"]:
    """Renders square pictures over white; see :func:`render_views`.

    Args:
        particle: What to render; its training mode is restored afterwards.
        cameras: From where.
        size: Height and width in pixels.

    Returns:
        Pictures in [0, 1] on the CPU.
    """
    return torch.cat([over_white(views) for views in render_views(particle, cameras, size)])


def contact_sheet(
    rows: Sequence[Float[Tensor, "B 3 H W"]], gap: int = 2
) -> Float[Tensor, "3 sheet_H sheet_W"]:
    """Lays pictures of one size out as a table over white, one sequence a row."""
    num_columns = max(row.shape[0] for row in rows)
    height, width = rows[0].shape[-2:]
    sheet = torch.ones(3, len(rows) * (height + gap) - gap, num_columns * (width + gap) - gap)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            sheet[:, top : top + height, left : left + width] = picture
    return sheet


def png_bytes(picture: Float[Tensor, "3 H W"]) -> bytes:
    """Encodes a picture in [0, 1] as PNG."""
    rgb = (picture.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).permute(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(rgb.cpu().numpy()).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def write_png(picture: Float[Tensor, "3 H W"], path: Path) -> None:
    """Writes a picture in [0, 1] as PNG, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(png_bytes(picture))


def write_film(frames: Float[Tensor, "B 3 H W"], path: Path, frames_per_second: int) -> None:
    """Writes an H.264 film (yuv420p, plays in every browser), whole or not at all.

    Args:
        frames: Pictures in [0, 1].
        path: An ``.mp4`` file.
        frames_per_second: Playing speed.

    Raises:
        ValueError: If height or width is odd, which yuv420p cannot hold.
        OSError: If it cannot be written.
    """
    height, width = frames.shape[-2:]
    if height % 2 or width % 2:
        raise ValueError(f"A film needs even height and width, got {height}x{width}.")
    rgb = (frames.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1)
    encode = "-c:v libx264 -crf 18 -pix_fmt yuv420p -movflags +faststart -y".split()
    with whole_file(path) as temporary:
        temporary.touch()  # says itself where nothing may be written
        command = [
            imageio_ffmpeg.get_ffmpeg_exe(),
            *"-loglevel error -f rawvideo -pix_fmt rgb24".split(),
            *("-s", f"{width}x{height}", "-r", str(frames_per_second), "-i", "-"),
            *encode,
            str(temporary),
        ]
        done = subprocess.run(command, input=rgb.cpu().numpy().tobytes(), capture_output=True)
        if done.returncode != 0:
            raise OSError(done.stderr.decode(errors="replace").strip() or "ffmpeg failed")
