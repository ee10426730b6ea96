"""Where a soft field's surface stands, and which colour it has there."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.cameras import rays, turntable
from redream.kernels.composite import composite
from redream.kernels.march import Samples
from redream.kernels.occupancy import Density, cell_points
from redream.kernels.raycast import RayCaster
from redream.representations.field import Field

_SHARES = (0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)  # of the density that is seen
# Of the overlap with the views' silhouettes, that a surface farther in may cost. A view's colours
# come from behind the outermost surface, from another place for each view, and blur its texture.
_MARGIN = 0.006
_SIZE = 96  # height and width of the views, in pixels

March = Callable[[Float[Tensor, "R 3"], Float[Tensor, "R 3"]], Samples]
Isosurface = Callable[
    [Float[Tensor, "G G G"], float], tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]
]


@torch.no_grad()
def covering_density(
    density: Density,
    march: March,
    isosurface: Isosurface,
    grid: Float[Tensor, "G G G"],
    radius: float,
) -> float:
    """The density whose surface covers, from around, what views show as covered.

    Of some shares of the mean density of what is seen, each sample as much as it shows, the
    highest whose silhouettes overlap (Jaccard index) with those of the views as much as any's, or
    hardly less: the higher, the nearer the surface is to where the views' colours come from.

    Args:
        density: Of points, per world unit.
        march: The samples that rays see.
        isosurface: The surface of a grid of densities at one of them.
        grid: Densities of [-1, 1]^3.
        radius: Of the scene.

    Returns:
        The density, per world unit.
    """
    cameras = turntable(8, distance=3.0 * radius).to(grid.device)
    size = min(_SIZE, 2 * len(grid))  # finer views show no more of the grid's surface
    origins, directions = (part.reshape(-1, 3) for part in rays(cameras, size, size))
    samples = march(origins, directions)
    found = density(samples.positions)
    seen = composite(found, found[:, None], samples)
    visible = float((seen.weights * found).sum() / seen.weights.sum().clamp_min(1e-8))
    covered = seen.opacity >= 0.5
    overlaps: dict[float, float] = {}
    for share in _SHARES:
        if not 0.0 < share * visible < float(grid.max()):
            continue
        caster = RayCaster(*isosurface(grid, share * visible), device=origins.device)
        hit = caster.cast(origins, directions).face >= 0
        overlaps[share] = float((hit & covered).sum() / (hit | covered).sum().clamp_min(1))
    most = max(overlaps.values(), default=0.0)
    if most == 0.0:
        return 0.5 * visible
    return max(share for share, overlap in overlaps.items() if overlap >= most - _MARGIN) * visible


def density_grid(density: Density, resolution: int, device: torch.device) -> Float[Tensor, "G G G"]:
    """Densities at the centres of the cells of [-1, 1]^3.

    Args:
        density: Of points on the device, per world unit.
        resolution: Cells along each axis.
        device: Where the field is.
    """
    points = cell_points(resolution, device)
    found = torch.cat([density(part) for part in points.split(2**16)])
    return found.view(resolution, resolution, resolution)


def surface_colors(
    field: Field, points: Float[Tensor, "N 3"], step: float, normal_step: float
) -> Float[Tensor, "N 3"]:
    """Mean colours along inward normals, from 2 steps above the surface to 6 below it.

    Args:
        field: The field.
        points: Points on its surface.
        step: Length of a step in world units.
        normal_step: Half of the distance over which normals are differences of density.

    Returns:
        Colours in [0, 1].
    """
    depths = step * (torch.arange(8, device=points.device) - 1.5)
    inward = -field.normals(points, normal_step)
    along = points[:, None] + depths[:, None] * inward[:, None]
    density, encoded = field(along.view(-1, 3))
    colors = field.color(encoded).view(-1, 8, 3)
    optical = density.view(-1, 8) * step
    weights = torch.exp(optical - optical.cumsum(1)) * -torch.expm1(-optical)
    mean: Tensor = (weights[..., None] * colors).sum(1)
    return mean / weights.sum(1, keepdim=True).clamp_min(1e-8)
