"""A picture as a condition: read, cut out of its background, and framed as a camera sees it."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn.functional import interpolate

from redream.cameras import orbit, set_steps
from redream.errors import first_line
from redream.files import whole_file
from redream.pictures import open_picture
from redream.priors import Prior
from redream.types import Cameras, ImagePrompt, key_generator

CutOut = Callable[[Image.Image], Image.Image]
"""From a picture to its mask, in greys."""

_SIDE = 512  # of the framed picture
_SEEN = 0.5  # opacity from which a pixel shows the object
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
    alpha = _opened(mask, "data.image_mask").convert("L") if mask is not None else None
    far = _opened(depth, "data.image_depth") if depth is not None else None
    for name, other in (("image_mask", alpha), ("image_depth", far)):
        if other is not None and other.size != picture.size:
            raise ValueError(
                f"data.{name} is {other.width} x {other.height} and data.image "
                f"{picture.width} x {picture.height}: give both in one size"
            )
    if alpha is None:
        alpha = _own_mask(picture) or (cut_out or rembg_mask)(picture.convert("RGB"))
    depths = None if far is None else np.asarray(far.convert("F"))
    return framed(np.asarray(picture.convert("RGB")), np.asarray(alpha), camera, depths, str(file))


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
        prompt: What to show; its front is asked for, alone and whole.
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
    with torch.no_grad():
        text = prior.encode_prompts([f"{prompt}, front view, whole, on a white background"])
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
    opacity = torch.from_numpy(alpha.astype(np.float32)) / 255.0
    seen = opacity > _SEEN
    if float(seen.float().mean()) < _MIN_SHARE:
        raise ValueError(
            f"{name} shows no object: its mask is empty; give a picture of one object whose "
            "background is transparent, or a mask with --data.image_mask"
        )
    colors = torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1) / 255.0
    layers = [colors * opacity, opacity[None]]
    if depth is not None:
        layers.append(torch.from_numpy(depth.astype(np.float32))[None])
    stacked = torch.cat(layers)
    height, width = opacity.shape
    if camera.frame > 0.0:
        rows, columns = (seen.any(dim=dim).nonzero()[:, 0] for dim in (1, 0))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        stacked = _cropped(stacked, box, camera.frame)
    elif height != width:
        raise ValueError(
            f"{name} is {width} x {height} and no square: crop it, or set "
            "--data.image_camera.frame 0.8, so that it is cropped around the object"
        )
    square = interpolate(
        stacked[None], (_SIDE, _SIDE), mode="bilinear", antialias=True, align_corners=False
    )
    far = square[:, 4:] if depth is not None else None
    return ImagePrompt(square[:, :4].clamp(0.0, 1.0), camera.cameras(), far)


def rembg_mask(picture: Image.Image) -> Image.Image:
    """The object's mask by a network that rembg downloads once.

    Raises:
        ImportError: If rembg is not installed.
        ValueError: If its network cannot be had.
    """
    try:
        import rembg
    except ImportError as error:
        raise ImportError(
            "the picture has a background, and rembg, which removes it, is not installed: pip "
            "install 'redream[image]', give a picture with transparency, or --data.image_mask"
        ) from error
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


def _cropped(
    layers: Float[Tensor, "C H W"], box: tuple[int, int, int, int], share: float
) -> Float[Tensor, "C S S"]:
    """A square around a box, which fills a share of it; what lies outside of the picture is 0."""
    left, top, right, bottom = box
    side = max(1, round(max(right - left, bottom - top) / share))
    x, y = (left + right - side) // 2, (top + bottom - side) // 2
    height, width = layers.shape[1:]
    square = layers.new_zeros(len(layers), side, side)
    inside = layers[:, max(0, y) : min(height, y + side), max(0, x) : min(width, x + side)]
    row, column = max(0, -y), max(0, -x)
    square[:, row : row + inside.shape[1], column : column + inside.shape[2]] = inside
    return square
