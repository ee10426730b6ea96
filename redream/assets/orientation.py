"""Turns assets so that their front faces +Z (App. B, "3D retrieval procedure").

CLIP compares pictures from all round with "front view", "side view" and "back view" prompts.
The paper rotates by the view of highest similarity; one view is a noisy witness, so here all of
them vote: the front-minus-back profile over azimuths is matched with cos(azimuth - yaw) and the
side profile with |sin(azimuth - yaw)|. Or the asset's own mirror plane says along which axis its
front and back lie, and CLIP only which of the two is which.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from redream.assets.render import AssetRenderer
from redream.assets.symmetry import mirror_asymmetry
from redream.cameras import concatenate, turntable
from redream.types import TriangleMesh, Views

FrontAxis = Literal["side", "mirror", "highest"]
EncodeImages = Callable[[Float[Tensor, "B 3 H W"]], Float[Tensor, "B D"]]
EncodeTexts = Callable[[list[str]], Float[Tensor, "B D"]]

VIEW_TEMPLATES = (
    "a front view of {caption}",
    "a side view of {caption}",
    "a back view of {caption}",
)
"""View prefixes, as the paper has them: a long caption is cut at its end, and not the view."""


@dataclass(frozen=True)
class Orientation:
    """Where an asset's front is.

    Attributes:
        yaw_deg: Azimuth at which the front is seen, in [-180, 180); 0 where there is none.
        has_front: Whether the profile shows a front at all.
        contrast: Amplitude of front minus back similarity over the circle.
        confidence: Correlation of the profile with the ideal one at ``yaw_deg``, in [-1, 1].
        scores: ``front``, ``side`` and ``back`` similarity at each azimuth, rows in that order.
    """

    yaw_deg: float
    has_front: bool
    contrast: float
    confidence: float
    scores: Float[Tensor, "3 M"]


def rotate_yaw(mesh: TriangleMesh, yaw_deg: float) -> TriangleMesh:
    """Turns a mesh about +Y; what faced azimuth 0 then faces azimuth ``yaw_deg``."""
    angle = math.radians(yaw_deg)
    turn = torch.tensor(
        [
            [math.cos(angle), 0.0, math.sin(angle)],
            [0.0, 1.0, 0.0],
            [-math.sin(angle), 0.0, math.cos(angle)],
        ],
        dtype=mesh.vertices.dtype,
        device=mesh.vertices.device,
    )
    return mesh._replace(
        vertices=mesh.vertices @ turn.T, corner_normals=mesh.corner_normals @ turn.T
    )


def align_front(
    mesh: TriangleMesh,
    caption: str,
    encode_images: EncodeImages,
    encode_texts: EncodeTexts,
    num_views: int = 16,
    elevations_deg: Sequence[float] = (0.0, 20.0),
    size: int = 64,
    distance: float = 3.0,
    fovy_deg: float = 40.0,
    background: float = 1.0,
    templates: tuple[str, str, str] = VIEW_TEMPLATES,
    axis: FrontAxis = "side",
    side_weight: float = 0.5,
    min_contrast: float = 0.005,
    min_confidence: float = 0.2,
) -> tuple[TriangleMesh, Orientation]:
    """Finds an asset's front and turns the asset so that it faces +Z.

    Args:
        mesh: The asset, +Y up.
        caption: What it is; fills ``{caption}`` of the templates.
        encode_images: Pictures in [0, 1] to unit vectors.
        encode_texts: Texts to unit vectors of the same space.
        num_views: Azimuths, equally spaced.
        elevations_deg: Elevations over which similarities are averaged.
        size: Pictures' height and width in pixels.
        distance: Cameras' distance.
        fovy_deg: Cameras' vertical field of view.
        background: Grey level behind the asset.
        templates: Front, side and back prompts.
        axis: What tells sideways from lengthways: ``side`` prompts, or the ``mirror`` symmetry of
            the asset's depth pictures, which fits assets with a left and an equal right.
            ``highest`` takes the azimuth that is most like the front prompt and asks for no more,
            the paper's rule.
        side_weight: Weight of the side profile beside the front-minus-back profile.
        min_contrast: Contrast below which an asset has no front.
        min_confidence: Confidence below which an asset has no front.

    Returns:
        The turned mesh (the same mesh where it has no front) and what was found.
    """
    views = render_round(mesh, num_views, elevations_deg, size, distance, fovy_deg)
    scores = view_scores(
        views, caption, encode_images, encode_texts, num_views, background, templates
    )
    asymmetry = None
    if axis == "highest":
        found = highest_front(scores)
        return rotate_yaw(mesh, -found.yaw_deg), found
    if axis == "mirror":
        asymmetry = mirror_asymmetry(views.depth[:, 0].unflatten(0, (-1, num_views)).cpu())
    orientation = find_front(scores, side_weight, min_contrast, min_confidence, asymmetry)
    return (
        rotate_yaw(mesh, -orientation.yaw_deg) if orientation.has_front else mesh,
        orientation,
    )


def render_round(
    mesh: TriangleMesh,
    num_views: int = 16,
    elevations_deg: Sequence[float] = (0.0, 20.0),
    size: int = 64,
    distance: float = 3.0,
    fovy_deg: float = 40.0,
) -> Views:
    """Renders a mesh from all round; the arguments are those of :func:`align_front`.

    Returns:
        Views of all azimuths at the first elevation, then at the next.
    """
    cameras = concatenate(
        [turntable(num_views, elevation, distance, fovy_deg) for elevation in elevations_deg]
    )
    return AssetRenderer(mesh).render(cameras, size, size)


def view_scores(
    views: Views,
    caption: str,
    encode_images: EncodeImages,
    encode_texts: EncodeTexts,
    num_views: int = 16,
    background: float = 1.0,
    templates: tuple[str, str, str] = VIEW_TEMPLATES,
) -> Float[Tensor, "3 M"]:
    """Front, side and back similarity at each azimuth, averaged over elevations.

    Args:
        views: As :func:`render_round` returns them.
        caption: Fills ``{caption}`` of the templates.
        encode_images: Pictures in [0, 1] to unit vectors.
        encode_texts: Texts to unit vectors of the same space.
        num_views: Azimuths at each elevation.
        background: Grey level behind the asset.
        templates: Front, side and back prompts.

    Returns:
        The similarities, on the CPU.
    """
    pictures = encode_images(views.over(torch.full((1, 3, 1, 1), background)))
    prompts = encode_texts([template.format(caption=caption) for template in templates])
    similarity = (prompts @ pictures.T).float().cpu()
    return similarity.reshape(3, -1, num_views).mean(1)


def find_front(
    scores: Float[Tensor, "3 M"],
    side_weight: float = 0.5,
    min_contrast: float = 0.005,
    min_confidence: float = 0.2,
    asymmetry: Float[Tensor, " M"] | None = None,
) -> Orientation:
    """Fits the ideal profile of a fronted object to similarities over the circle.

    Args:
        scores: Front, side and back similarity at ``M`` equally spaced azimuths from 0.
        side_weight: Weight of the side profile.
        min_contrast: Contrast below which there is no front.
        min_confidence: Confidence below which there is no front.
        asymmetry: Of the planes at ``M`` azimuths equally spaced over a half circle, 1 on average;
            takes the place of the side profile.

    Returns:
        The orientation, to a degree.
    """
    front, side, back = scores.double()
    num_views = scores.shape[1]
    azimuth = torch.arange(num_views, dtype=torch.float64) * (2.0 * math.pi / num_views)
    candidates = torch.arange(-180, 180, dtype=torch.float64)
    offset = azimuth[None] - torch.deg2rad(candidates)[:, None]
    ideal = _centred(offset.cos())
    ideal_side = _centred(offset.sin().abs())
    contrast = _centred(front - back)
    sides = _centred(side - (front + back) / 2.0)
    match = ideal @ contrast
    if asymmetry is None:
        match += side_weight * (ideal_side @ sides)
    else:
        match -= ideal[0].norm() * contrast.norm() * _around(asymmetry, candidates)
    best = int(match.argmax())
    amplitude = float(2.0 / num_views * (ideal[best] @ contrast))
    spread = float(ideal[best].norm() * contrast.norm())
    confidence = float(ideal[best] @ contrast) / spread if spread > 0.0 else 0.0
    has_front = amplitude >= min_contrast and confidence >= min_confidence
    yaw_deg = float(candidates[best]) if has_front else 0.0
    return Orientation(yaw_deg, has_front, amplitude, confidence, scores)


def highest_front(scores: Float[Tensor, "3 M"]) -> Orientation:
    """The azimuth that is most like the front prompt: the rule of App. B.

    Args:
        scores: Front, side and back similarity at ``M`` equally spaced azimuths from 0.

    Returns:
        The orientation; every asset has a front.
    """
    front, _, back = scores.double()
    step = 360.0 / scores.shape[1]
    yaw_deg = (float(front.argmax()) * step + 180.0) % 360.0 - 180.0
    azimuth = torch.arange(scores.shape[1], dtype=torch.float64) * step
    ideal = _centred(torch.deg2rad(azimuth - yaw_deg).cos())
    contrast = _centred(front - back)
    match, spread = float(ideal @ contrast), float(ideal.norm() * contrast.norm())
    confidence = match / spread if spread > 0.0 else 0.0
    return Orientation(yaw_deg, True, 2.0 / scores.shape[1] * match, confidence, scores)


def _centred(profile: Float[Tensor, "*rows M"]) -> Float[Tensor, "*rows M"]:
    return profile - profile.mean(-1, keepdim=True)


def _around(
    asymmetry: Float[Tensor, " M"], azimuth_deg: Float[Tensor, " N"]
) -> Float[Tensor, " N"]:
    """Interpolates linearly what repeats after 180 degrees."""
    position = torch.remainder(azimuth_deg, 180.0) * (len(asymmetry) / 180.0)
    low = position.long()
    share = position - low
    around = torch.cat([asymmetry, asymmetry[:1]]).double()
    return torch.lerp(around[low], around[low + 1], share)
