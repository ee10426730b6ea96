"""Geometry against truth, where truth exists: Chamfer distance and F-score."""

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.assets import load_mesh
from redream.kernels.distance import signed_distance
from redream.metrics.base import Metric
from redream.types import Cameras


class Agreement(NamedTuple):
    """How well one surface agrees with another.

    Attributes:
        chamfer: Mean of the two mean distances, from each surface to the other.
        precision: Share of the measured surface that is near to the truth.
        recall: Share of the truth that is near to the measured surface.
        f_score: Their harmonic mean.
    """

    chamfer: float
    precision: float
    recall: float
    f_score: float


class GeometryTruth(Metric):
    """Compares an object's surface with a mesh that is known to be right.

    Distances are unsigned, from points drawn uniformly by area on one surface to the nearest
    triangle of the other, in the world's units: the truth is loaded as every asset is, centred and
    scaled to radius 0.9, and the object is measured as it stands, facing +Z. F-score as Knapitsch
    et al. (2017) define it.

    Args:
        truth: A 3D file.
        threshold: Points this near to the other surface are right.
        num_points: Points drawn from each surface.
        fit: Centre and scale the object as the truth was, so that its size does not count.
        seed: Draws the points.
    """

    needs_surface = True

    def __init__(
        self,
        truth: Path,
        threshold: float = 0.05,
        num_points: int = 20_000,
        fit: bool = False,
        seed: int = 0,
    ) -> None:
        if threshold <= 0.0 or num_points < 1:
            raise ValueError(
                f"threshold must be positive and num_points at least 1, got {threshold} and "
                f"{num_points}"
            )
        mesh = load_mesh(truth)
        self.truth = (mesh.vertices, mesh.faces)
        self.threshold, self.num_points, self.fit, self.seed = threshold, num_points, fit, seed

    def measure(
        self, prompt: str, pictures: Float[Tensor, "B 3 H W"], cameras: Cameras
    ) -> dict[str, float]:
        """Nothing: pictures are not geometry."""
        return {}

    def measure_surface(
        self, vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]
    ) -> dict[str, float]:
        """Gives ``chamfer`` and ``f_score``, with ``precision`` and ``recall``.

        An object without a surface has F-score 0 and no Chamfer distance.
        """
        if len(faces) == 0:
            return dict.fromkeys(("precision", "recall", "f_score"), 0.0)
        if self.fit:
            vertices = _fitted(vertices)
        generator = torch.Generator().manual_seed(self.seed)
        measured = vertices.cpu(), faces.cpu()
        points = sample_surface(*measured, self.num_points, generator)
        to_truth = signed_distance(*self.truth, points).abs()
        points = sample_surface(*self.truth, self.num_points, generator)
        to_measured = signed_distance(*measured, points).abs()
        return agreement(to_truth, to_measured, self.threshold)._asdict()


def _fitted(vertices: Float[Tensor, "V 3"], radius: float = 0.9) -> Float[Tensor, "V 3"]:
    centred = vertices - (vertices.amin(0) + vertices.amax(0)) / 2.0
    fitted: Tensor = centred * (radius / centred.norm(dim=-1).max())
    return fitted


def sample_surface(
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    num_points: int,
    generator: torch.Generator,
) -> Float[Tensor, "num_points 3"]:
    """Draws points uniformly by area.

    Args:
        vertices: Positions.
        faces: Triangles; those without area are never hit.
        num_points: Points.
        generator: The source of randomness, on the CPU.

    Returns:
        The points.
    """
    corners = vertices[faces]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = torch.linalg.cross(first, second).norm(dim=-1).double()
    edges = area.cumsum(0)
    drawn = torch.rand(num_points, generator=generator, dtype=torch.float64) * edges[-1]
    face = torch.searchsorted(edges, drawn, right=True).clamp_max(len(faces) - 1)
    u, v = torch.rand(2, num_points, 1, generator=generator)
    u, v = torch.where(u + v > 1.0, 1.0 - u, u), torch.where(u + v > 1.0, 1.0 - v, v)
    return corners[face, 0] + u * first[face] + v * second[face]


def agreement(
    to_truth: Float[Tensor, " N"], to_measured: Float[Tensor, " M"], threshold: float
) -> Agreement:
    """Sums up the distances between two surfaces.

    Args:
        to_truth: From points of the surface that is measured to the one that is right.
        to_measured: The other way round.
        threshold: Largest distance of a point that is right.
    """
    precision = float((to_truth <= threshold).float().mean())
    recall = float((to_measured <= threshold).float().mean())
    both = precision + recall
    return Agreement(
        chamfer=float(to_truth.mean() + to_measured.mean()) / 2.0,
        precision=precision,
        recall=recall,
        f_score=2.0 * precision * recall / both if both else 0.0,
    )
