"""What is learned of splats, in the unbounded form in which the field's files keep them."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor, nn

from redream.kernels.splats_projection import NUM_HARMONICS, Gaussians
from redream.meshes.triangles import area_normals, at_barycentric, sample_surface
from redream.representations.base import Start

HARMONIC_0 = 0.28209479177387814
_SOLID = 0.9  # opacity of a splat that starts on a surface
_FAINT = 0.1  # opacity of one that starts in a blob
_FLATNESS = 0.25  # thickness over width of a splat that starts on a surface


class Cloud(NamedTuple):
    """Round or flat splats to start from.

    Attributes:
        means: Centres.
        scales: Standard deviations along the splat's own axes.
        rotations: Quaternions ``w x y z``; the third axis is the normal.
        opacities: In (0, 1).
        colors: In [0, 1].
    """

    means: Float[Tensor, "N 3"]
    scales: Float[Tensor, "N 3"]
    rotations: Float[Tensor, "N 4"]
    opacities: Float[Tensor, " N"]
    colors: Float[Tensor, "N 3"]


class SplatParameters(nn.Module):
    """``N`` splats: a fixed number of rows, so that an optimiser and a checkpoint keep theirs.

    Args:
        num: ``N``.
        degree: Degree of the spherical harmonics of the colour, 0 to 3.
    """

    def __init__(self, num: int, degree: int) -> None:
        super().__init__()
        rest = NUM_HARMONICS[degree] - 1
        self.means = nn.Parameter(torch.zeros(num, 3))
        self.log_scales = nn.Parameter(torch.zeros(num, 3))
        self.rotations = nn.Parameter(torch.zeros(num, 4))
        self.logits = nn.Parameter(torch.zeros(num))
        self.base = nn.Parameter(torch.zeros(num, 1, 3))
        self.rest = nn.Parameter(torch.zeros(num, rest, 3), requires_grad=rest > 0)

    def gaussians(self) -> Gaussians:
        """The splats as they are rendered."""
        return Gaussians(
            self.means,
            self.log_scales.exp(),
            self.rotations,
            self.logits.sigmoid(),
            torch.cat([self.base, self.rest], 1),
        )

    @torch.no_grad()
    def colors(self) -> Float[Tensor, "N 3"]:
        """The mean colour of each splat over all directions, in [0, 1]."""
        return (HARMONIC_0 * self.base[:, 0] + 0.5).clamp(0.0, 1.0)

    @torch.no_grad()
    def fill(self, cloud: Cloud) -> None:
        """Takes over a cloud of as many splats; their colour is the same from everywhere."""
        self.means.copy_(cloud.means)
        self.log_scales.copy_(cloud.scales.log())
        self.rotations.copy_(cloud.rotations)
        self.logits.copy_(cloud.opacities.logit())
        self.base.copy_((cloud.colors[:, None] - 0.5) / HARMONIC_0)
        self.rest.zero_()

    @torch.no_grad()
    def copy_rows(self, to: Int[Tensor, " M"], source: Int[Tensor, " M"]) -> None:
        """Makes splats ``to`` copies of splats ``source``."""
        for parameter in self.parameters():
            parameter[to] = parameter[source]


def blob(num: int, radius: float, generator: torch.Generator) -> Cloud:
    """Faint grey splats, uniform in a ball.

    Args:
        num: How many.
        radius: The ball's.
        generator: The source of randomness (on the CPU).

    Returns:
        The cloud; a splat is as wide as the mean distance to a neighbour.
    """
    directions = torch.nn.functional.normalize(torch.randn(num, 3, generator=generator), dim=1)
    means = radius * torch.rand(num, 1, generator=generator) ** (1.0 / 3.0) * directions
    width = radius * (4.18879 / max(num, 1)) ** (1.0 / 3.0)
    return Cloud(
        means,
        torch.full((num, 3), 0.5 * width),
        torch.nn.functional.normalize(torch.randn(num, 4, generator=generator), dim=1),
        torch.full((num,), _FAINT),
        0.5 + 0.02 * (torch.rand(num, 3, generator=generator) - 0.5),
    )


def on_surface(start: Start, num: int, generator: torch.Generator) -> Cloud:
    """Flat splats on a surface, uniform by area, in its colours.

    Args:
        start: The surface.
        num: How many.
        generator: The source of randomness (on the CPU).

    Returns:
        The cloud; together the splats cover the surface once.
    """
    faces = start.faces.long()
    face, barycentric = sample_surface(start.vertices, faces, num, generator)
    points = at_barycentric(start.vertices, faces, face, barycentric)
    normals = area_normals(start.vertices, faces)
    area = 0.5 * float(normals.double().norm(dim=1).sum())
    width = (area / max(num, 1)) ** 0.5
    _, nearest = cKDTree(start.points.numpy()).query(points.numpy())
    return Cloud(
        points,
        width * torch.tensor([1.0, 1.0, _FLATNESS]).expand(num, 3),
        turn_z_to(torch.nn.functional.normalize(normals[face], dim=1)),
        torch.full((num,), _SOLID),
        start.colors[torch.from_numpy(nearest)],
    )


def turn_z_to(directions: Float[Tensor, "N 3"]) -> Float[Tensor, "N 4"]:
    """Quaternions ``w x y z`` of the shortest turn from +z to unit directions."""
    x, y, z = directions.unbind(1)
    half = torch.stack([1.0 + z, -y, x, torch.zeros_like(z)], 1)
    about_x = torch.tensor([0.0, 1.0, 0.0, 0.0]).to(half)
    return torch.nn.functional.normalize(torch.where(z[:, None] < -0.9999, about_x, half), dim=1)
