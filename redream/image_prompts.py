"""A picture as a condition: read, cut out of its background, and framed as a camera sees it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn.functional import interpolate

from redream.cameras import orbit, set_steps, view_names
from redream.errors import first_line
from redream.files import whole_file
from redream.pictures import open_picture
from redream.priors import Prior
from redream.types import Cameras, ImagePrompt, key_generator

CutOut = Callable[[Image.Image], Image.Image]
"""From a picture to its mask, in greys."""

_SIDE = 512  # of the framed picture
_SEEN = 0.5  # opacity from which a pixel shows the object
_RADII = (0.15, 1.1)  # of an object, in world units: too small to be seen, too large for the ball
_RADIUS = 0.54  # threestudio's Zero123, 3.8 away at 20 degrees
_MIN_SHARE = 0.001  # of the pixels that an object must cover
_MODEL = "isnet-general-use"  # Apache 2.0; rembg's own default is not for commercial use


@dataclass(frozen=True)
class ImageCamera:
    """Where a picture was taken from, and how large the object stands in it.

    Attributes:
        azimuth_deg: 0 shows the object's front.
        elevation_deg: How far above the object the camera was; guess it by eye.
        distance: To the object, in world units.
        fovy_deg: Vertical field of view.
        frame: Share of the picture's side that the object fills once it is cut out and centred;
            0 takes a square picture as it is.
    """

    azimuth_deg: float = 0.0
    elevation_deg: float = 5.0
    distance: float = 3.8
    fovy_deg: float = 20.0
    frame: float = 0.8

    def __post_init__(self) -> None:
        for name, holds in (
            ("elevation_deg", -90.0 < self.elevation_deg < 90.0),
            ("distance", self.distance > 0.0),
            ("fovy_deg", 0.0 < self.fovy_deg < 180.0),
            ("frame", 0.0 <= self.frame <= 1.0),
        ):
            if not holds:
                raise ValueError(
                    f"image_camera.{name} is {getattr(self, name):g}: elevation_deg must be "
                    "between -90 and 90, distance above 0, fovy_deg between 0 and 180, frame "
                    "between 0 and 1"
                )

        shown = self.frame * math.tan(math.radians(self.fovy_deg / 2.0))
        radius, (least, most) = shown * self.distance, _RADII
        if self.frame > 0.0 and not least <= radius <= most:
            raise ValueError(
                f"image_camera takes an object that fills {self.frame:g} of its picture to be "
                f"{radius:.2g} in radius, and particles have room for 0.9: set "
                f"--data.image_camera.distance {_RADIUS / shown:.3g}, or another fovy_deg"
            )

    def cameras(self) -> Cameras:
        """The camera, as a batch of one."""
        numbers = (self.azimuth_deg, self.elevation_deg, self.distance, self.fovy_deg)
        return orbit(*(torch.tensor([number]) for number in numbers))


def read_image_prompt(
    file: str | Path,
    camera: ImageCamera,
    mask: str | Path | None = None,
    depth: str | Path | None = None,
    cut_out: CutOut | None = None,
) -> ImagePrompt:
    """Reads a picture of an object.

    Args:
        file: The picture.
        camera: Where it was taken from.
        mask: A picture that is bright where the object is; by default the picture's own
            transparency, or what ``cut_out`` finds.
        depth: A picture of the same size that is brighter the farther away a pixel is.
        cut_out: Finds the object where neither says where it is; rembg by default.

    Returns:
        The picture, squared, the object in its middle.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If it is no picture, shows no object, or the files differ in size.
    """
    picture = _opened(file, "data.image")
    alpha = _bytes_of(_opened(mask, "data.image_mask")).convert("L") if mask is not None else None
    far = _opened(depth, "data.image_depth") if depth is not None else None
    for name, other in (("image_mask", alpha), ("image_depth", far)):
        if other is not None and other.size != picture.size:
            raise ValueError(
                f"data.{name} is {other.width} x {other.height} and data.image "
                f"{picture.width} x {picture.height}: give both in one size"
            )
    colors = _bytes_of(picture).convert("RGB")
    if alpha is None:
        alpha = _own_mask(picture) or (cut_out or rembg_mask)(colors)
    depths = None if far is None else np.asarray(far.convert("F"))
    return framed(np.asarray(colors), np.asarray(alpha), camera, depths, str(file))


def paint_image_prompt(
    prior: Prior,
    prompt: str,
    camera: ImageCamera,
    seed: int = 0,
    guidance_scale: float = 7.5,
    cut_out: CutOut | None = None,
) -> ImagePrompt:
    """Has a text prior make the picture, as the paper did for image-to-3D methods (Fig. 12).

    Args:
        prior: Reads the prompt.
        prompt: What to show, alone and whole, from the camera's side of it.
        camera: Where the picture is taken to be from.
        seed: Draws the noise.
        guidance_scale: Classifier-free guidance.
        cut_out: Finds the object in the picture; rembg by default.

    Returns:
        The picture.

    Raises:
        ValueError: If there is no object in it.
    """
    num, camera_of = prior.views_per_set, camera.cameras()
    turns = set_steps(num, prior.set_azimuths_deg)
    poses = orbit(
        turns + camera_of.azimuth_deg,
        *(
            each.expand(num)
            for each in (camera_of.elevation_deg, camera_of.distance, camera_of.fovy_deg)
        ),
    ).c2w.to(prior.device)
    (side,) = view_names(camera_of.azimuth_deg, 45.0, 135.0)
    words = f"{prompt}, {side} view" if num == 1 else prompt  # others are told the pose
    with torch.no_grad():
        text = prior.encode_prompts([f"{words}, whole, on a white background"])
    generator = key_generator("image prompt", seed)
    text = text.expand(num, -1, -1)
    pictures = prior.sample(text, guidance_scale, 50, generator, poses=poses)
    rgb = (pictures[0] * 255.0).round().byte().permute(1, 2, 0).cpu().numpy()
    alpha = (cut_out or rembg_mask)(Image.fromarray(rgb))
    return framed(rgb, np.asarray(alpha), camera, name="the picture that the prior painted")


def png_of(image: ImagePrompt) -> bytes:
    """The first picture as PNG with transparency, as :func:`read_image_prompt` reads it."""
    rgba = image.rgba[0].cpu()
    straight = torch.cat([rgba[:3] / rgba[3:].clamp_min(1e-6), rgba[3:]]).clamp(0.0, 1.0)
    pixels = (straight * 255.0).round().byte().permute(1, 2, 0).numpy()
    data = BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def save_picture(image: ImagePrompt, path: Path) -> None:
    """Writes the first picture; see :func:`png_of`."""
    with whole_file(path) as temporary:
        temporary.write_bytes(png_of(image))


def framed(
    rgb: np.ndarray,
    alpha: np.ndarray,
    camera: ImageCamera,
    depth: np.ndarray | None = None,
    name: str = "the picture",
) -> ImagePrompt:
    """Puts an object into the middle of a square picture.

    Args:
        rgb: ``H W 3`` bytes.
        alpha: ``H W`` bytes, its mask.
        camera: Where it was taken from, and how large the object is to be.
        depth: ``H W``, or None.
        name: The picture's, for errors.

    Returns:
        The picture.

    Raises:
        ValueError: If there is no object, or a picture that is to stay as it is is no square.
    """
    seen = alpha > _SEEN * 255.0
    if float(seen.mean()) < _MIN_SHARE:
        raise ValueError(
            f"{name} shows no object: its mask is empty; give a picture of one object whose "
            "background is transparent, or a mask with --data.image_mask"
        )
    height, width = alpha.shape
    if camera.frame > 0.0:
        rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
        box = _square(int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]), camera.frame)
    elif height == width:
        box = (0, 0, width)
    else:
        raise ValueError(
            f"{name} is {width} x {height} and no square: crop it, or set "
            "--data.image_camera.frame 0.8, so that it is cropped around the object"
        )
    opacity = _cropped(alpha, box) / 255.0
    layers = [_cropped(rgb[..., channel], box) / 255.0 * opacity for channel in range(3)]
    layers.append(opacity)
    small = torch.cat([_shrunk(each) for each in layers], dim=1)
    far = None if depth is None else _shrunk(_cropped(depth, box))
    return ImagePrompt(small.clamp(0.0, 1.0), camera.cameras(), far)


def require_rembg() -> None:
    """Makes sure that backgrounds can be removed.

    Raises:
        ImportError: If rembg is not installed.
    """
    if find_spec("rembg") is None:
        raise ImportError(
            "the picture has a background, and rembg, which removes it, is not installed: pip "
            "install 'redream[image]', give a picture with transparency, or --data.image_mask"
        )


def rembg_mask(picture: Image.Image) -> Image.Image:
    """The object's mask by a network that rembg downloads once.

    Raises:
        ImportError: If rembg is not installed.
        ValueError: If its network cannot be had.
    """
    require_rembg()
    import rembg

    try:
        session = rembg.new_session(_MODEL)
    except Exception as error:
        raise ValueError(
            f"rembg could not get its network {_MODEL} ({first_line(error)}): run it once where "
            "there is a network, give a picture with transparency, or --data.image_mask"
        ) from error
    found = rembg.remove(picture, session=session, only_mask=True)
    assert isinstance(found, Image.Image)
    return found.convert("L")


def _opened(file: str | Path, option: str) -> Image.Image:
    path = Path(file).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: {option} must name a picture")
    try:
        with open_picture(path) as picture:
            upright: Image.Image = ImageOps.exif_transpose(picture)
            upright.load()
    except OSError as error:
        raise ValueError(f"{path} is damaged ({first_line(error)}): save it again") from error
    return upright


def _own_mask(picture: Image.Image) -> Image.Image | None:
    """A picture's transparency; None where all of it is opaque."""
    if not picture.has_transparency_data:
        return None
    alpha = picture.convert("RGBA").getchannel("A")
    return None if alpha.getextrema()[0] == 255 else alpha


def _bytes_of(picture: Image.Image) -> Image.Image:
    """A picture of at most 8 bits a channel; Pillow itself would cut off what is brighter."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture)
    if not picture.mode.startswith("I") or values.min() < 0 or values.max() > 65535:
        raise ValueError(
            "a picture has 32-bit numbers, of which nobody says how bright they are: save it with "
            "8 or 16 bits a channel"
        )
    return Image.fromarray(np.round(values / 257.0).astype(np.uint8))


def _square(left: int, top: int, right: int, bottom: int, share: float) -> tuple[int, int, int]:
    """Left, top and side of a square around a box, both ends included, that fills a share of it."""
    across, down = left + right + 1, top + bottom + 1
    side = max(1, round(max(right + 1 - left, bottom + 1 - top) / share))
    return (across - side) // 2, (down - side) // 2, side


def _cropped(layer: np.ndarray, box: tuple[int, int, int]) -> Float[Tensor, "S S"]:
    """What a square shows of a layer; 0 outside of it."""
    x, y, side = box
    inside = layer[max(0, y) : y + side, max(0, x) : x + side]
    square = torch.zeros(side, side)
    row, column = max(0, -y), max(0, -x)
    square[row : row + inside.shape[0], column : column + inside.shape[1]] = torch.from_numpy(
        inside.astype(np.float32)
    )
    return square


def _shrunk(layer: Float[Tensor, "S S"]) -> Float[Tensor, "1 1 T T"]:
    """A layer at the size of framed pictures, alone: large ones are dear."""
    return interpolate(
        layer[None, None], (_SIDE, _SIDE), mode="bilinear", antialias=True, align_corners=False
    )
