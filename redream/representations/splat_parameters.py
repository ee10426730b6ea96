"""What is learned of splats, in the unbounded form in which the field's files keep them."""

import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor, nn

from redream.kernels.splats_projection import NUM_HARMONICS, Gaussians, require_harmonics
from redream.meshes.triangles import area_normals, at_barycentric, sample_surface
from redream.representations.base import Start

HARMONIC_0 = 0.28209479177387814
_SOLID = 0.9  # opacity of a splat that starts on a surface
_FAINT = 0.1  # opacity of one that starts in a blob
_FLATNESS = 0.25  # thickness over width of a splat that starts on a surface
_LEAST = 1e-6  # of an opacity whose logit is kept, and of what is left to 1
_WAITING = -20.0  # logit of a row that waits for a splat


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
    def fill(self, splats: Gaussians) -> None:
        """Takes splats over, at most as many as there are rows; rows that are left wait, faded.

        Raises:
            ValueError: If their harmonics are of a higher degree.
        """
        num, degree = len(splats.means), require_harmonics(splats.harmonics)
        higher = splats.harmonics[:, 1:]
        if higher.shape[1] > self.rest.shape[1]:
            raise ValueError(
                f"splats with harmonics of degree {degree} do not fit: set degree to {degree}"
            )
        rows = torch.arange(len(self.means)) % num
        self.means.copy_(splats.means[rows])
        self.log_scales.copy_(splats.scales.log()[rows])
        self.rotations.copy_(splats.rotations[rows])
        self.logits.copy_(splats.opacities.clamp(_LEAST, 1.0 - _LEAST).logit()[rows])
        self.logits[num:] = _WAITING
        self.base.copy_(splats.harmonics[rows, :1])
        self.rest.zero_()
        self.rest[:, : higher.shape[1]] = higher[rows].to(self.rest)

    @torch.no_grad()
    def copy_rows(self, to: Int[Tensor, " M"], source: Int[Tensor, " M"]) -> None:
        """Makes splats ``to`` copies of splats ``source``."""
        for parameter in self.parameters():
            parameter[to] = parameter[source]


def blob(num: int, radius: float, generator: torch.Generator) -> Gaussians:
    """Faint grey splats, uniform in a ball.

    Args:
        num: How many.
        radius: The ball's.
        generator: The source of randomness (on the CPU).

    Returns:
        The splats, each as wide as the mean distance to a neighbour.
    """
    directions = torch.nn.functional.normalize(torch.randn(num, 3, generator=generator), dim=1)
    means = radius * torch.rand(num, 1, generator=generator) ** (1.0 / 3.0) * directions
    width = radius * (4.18879 / max(num, 1)) ** (1.0 / 3.0)
    return Gaussians(
        means,
        torch.full((num, 3), 0.5 * width),
        torch.nn.functional.normalize(torch.randn(num, 4, generator=generator), dim=1),
        torch.full((num,), _FAINT),
        _same_from_everywhere(0.5 + 0.02 * (torch.rand(num, 3, generator=generator) - 0.5)),
    )


def on_surface(start: Start, num: int, generator: torch.Generator) -> Gaussians:
    """Flat splats on a surface, uniform by area, in its colours.

    Args:
        start: The surface.
        num: How many.
        generator: The source of randomness (on the CPU).

    Returns:
        The splats, whose third axis is the normal; together they cover the surface once.
    """
    faces = start.faces.long()
    face, barycentric = sample_surface(start.vertices, faces, num, generator)
    points = at_barycentric(start.vertices, faces, face, barycentric)
    normals = area_normals(start.vertices, faces)
    area = 0.5 * float(normals.double().norm(dim=1).sum())
    width = (area / max(num, 1)) ** 0.5
    _, nearest = cKDTree(start.points.numpy()).query(points.numpy())
    return Gaussians(
        points,
        width * torch.tensor([1.0, 1.0, _FLATNESS]).expand(num, 3),
        turn_z_to(torch.nn.functional.normalize(normals[face], dim=1)),
        torch.full((num,), _SOLID),
        _same_from_everywhere(start.colors[torch.from_numpy(nearest)]),
    )


def that_show_most(splats: Gaussians, num: int) -> Gaussians:
    """The splats whose opacity times area is largest, at most so many, in their order."""
    if len(splats.means) <= num:
        return splats
    area = splats.scales.topk(2, dim=1).values.prod(1)
    rows = (splats.opacities * area).topk(num).indices.sort().values
    return Gaussians(*(part[rows] for part in splats))


def _same_from_everywhere(colors: Float[Tensor, "N 3"]) -> Float[Tensor, "N 1 3"]:
    """Harmonics of colours in [0, 1] that do not depend on the direction."""
    return (colors[:, None] - 0.5) / HARMONIC_0


def turn_z_to(directions: Float[Tensor, "N 3"]) -> Float[Tensor, "N 4"]:
    """Quaternions ``w x y z`` of the shortest turn from +z to unit directions."""
    x, y, z = directions.unbind(1)
    half = torch.stack([1.0 + z, -y, x, torch.zeros_like(z)], 1)
    about_x = torch.tensor([0.0, 1.0, 0.0, 0.0]).to(half)
    return torch.nn.functional.normalize(torch.where(z[:, None] < -0.9999, about_x, half), dim=1)
