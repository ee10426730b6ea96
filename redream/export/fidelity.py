"""How true an exported model is to its particle: both rendered from the same cameras."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from redream.assets import AssetRenderer
from redream.cameras import orbit
from redream.export.turntable import coarser, over_white, render_views
from redream.representations.base import Representation
from redream.types import Cameras, TriangleMesh, Views

NUM_CAMERAS = 32
RAYS = 2  # along each side of a pixel, of the particle's pictures and of the model's
_COVERED = 0.5  # of a pixel, from which it belongs to a silhouette
_ELEVATIONS_DEG = (0.0, 30.0, -10.0, 15.0)  # one after the other, round and round


class Fidelity(NamedTuple):
    """What the export cost.

    Attributes:
        psnr_db: Peak signal-to-noise ratio of the colours over white, in decibels, over the pixels
            of all pictures that are inside the union of the two silhouettes; at most 100.
        silhouette_iou: Pixels inside both silhouettes, as a share of those inside either.
    """

    psnr_db: float
    silhouette_iou: float


def comparison_cameras(distance: float = 3.0, fovy_deg: float = 40.0) -> Cameras:
    """The 32 cameras of the comparison: once around, at four elevations in turn."""
    elevation = torch.tensor(_ELEVATIONS_DEG).repeat(NUM_CAMERAS // len(_ELEVATIONS_DEG))
    azimuth = torch.arange(NUM_CAMERAS) * (360.0 / NUM_CAMERAS)
    ones = torch.ones(NUM_CAMERAS)
    return orbit(azimuth, elevation, ones * distance, ones * fovy_deg)


@torch.no_grad()
def compare(particle: Representation, mesh: TriangleMesh, cameras: Cameras, size: int) -> Fidelity:
    """Compares a particle's own renders with a mesh's.

    Both are seen along the same rays, four a pixel, and averaged over the pixel: with one for the
    particle, its staircase at outlines would count as the mesh's error.

    Args:
        particle: The scene theta; its training mode is restored afterwards.
        mesh: The model, in the particle's frame.
        cameras: From where.
        size: Height and width of the pictures in pixels.

    Returns:
        PSNR and overlap.
    """
    renderer, shading = AssetRenderer(mesh), particle.shading
    if shading in ("normal", "camera_normal"):  # a geometry; the model shows its colours
        particle.shading = "color"
    squared, num, num_both = 0.0, 0, 0
    try:
        for i, own in enumerate(render_views(particle, cameras, RAYS * size)):
            exported = renderer.render(cameras.select(slice(i, i + 1)), size, size, RAYS)
            own = coarser(own, RAYS)
            inside = [_silhouette(views) for views in (own, exported)]
            union = inside[0] | inside[1]
            difference = (over_white(own) - over_white(exported)).permute(0, 2, 3, 1)[union]
            squared += float(difference.double().square().sum())
            num += int(union.sum())
            num_both += int((inside[0] & inside[1]).sum())
    finally:
        particle.shading = shading
    error = max(squared / (3 * max(num, 1)), 1e-10)
    return Fidelity(-10.0 * math.log10(error), num_both / max(num, 1))


def put_back(mesh: TriangleMesh, original: Float[Tensor, "V 3"]) -> TriangleMesh:
    """Moves a model that was read from its file to where it was made.

    Args:
        mesh: The model, moved and scaled in any way, but not turned.
        original: Its vertices where it was made, in any order.

    Returns:
        The mesh with the centre and the size of the original.
    """
    centre, radius = _ball(original)
    moved_centre, moved_radius = _ball(mesh.vertices)
    vertices = (mesh.vertices.double() - moved_centre) * (radius / moved_radius) + centre
    return mesh._replace(vertices=vertices.float())


def _ball(vertices: Float[Tensor, "V 3"]) -> tuple[Float[Tensor, " 3"], Tensor]:
    """The bounding box's centre, and the farthest vertex's distance from there."""
    points = vertices.double()
    centre = (points.amin(0) + points.amax(0)) / 2.0
    return centre, (points - centre).norm(dim=-1).max()


def _silhouette(views: Views) -> Tensor:
    return (views.opacity[:, 0] >= _COVERED).cpu()
