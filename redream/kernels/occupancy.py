"""An occupancy grid over the box [-1, 1]^3: which cells hold anything worth sampling.

Densities are remembered as a decaying maximum (nerfacc; Li et al., 2023), so that a cell which is
empty at one random point is not dropped at once.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Density = Callable[[Float[Tensor, "N 3"]], Float[Tensor, " N"]]


class OccupancyGrid(nn.Module):
    """Remembered densities of ``G^3`` cells and the cells that count as occupied.

    Args:
        resolution: Cells along each axis ``G``.
        threshold: A cell is occupied when it or one of its 26 neighbours remembers a density
            above this, or above the mean of all cells where that is lower.
        decay: What remains of a remembered density at each refresh, in [0, 1).

    Attributes:
        density: Remembered densities, indexed ``[x, y, z]``.
        occupied: Occupied cells; all of them before the first refresh.
    """

    density: Tensor
    occupied: Tensor

    def __init__(self, resolution: int, threshold: float, decay: float = 0.8) -> None:
        super().__init__()
        if resolution < 1:
            raise ValueError(f"an occupancy grid needs one cell or more, got {resolution}")
        shape = (resolution,) * 3
        self.threshold = threshold
        self.decay = decay
        self.register_buffer("density", torch.zeros(shape))
        self.register_buffer("occupied", torch.ones(shape, dtype=torch.bool))

    @torch.no_grad()
    def refresh(
        self, density: Density, generator: torch.Generator | None = None, chunk: int = 2**16
    ) -> None:
        """Looks at one point of every cell and decides anew which cells are occupied.

        Where no cell would be occupied all are, so that a field that has faded can come back.

        Args:
            density: The field's density at ``N 3`` world points.
            generator: Source of the point in each cell (on the grid's device); cell centres if
                None.
            chunk: Points asked for at once.
        """
        points = cell_points(self.density.shape[0], self.density.device, generator)
        seen = torch.cat([density(part) for part in points.split(chunk)]).view_as(self.density)
        torch.maximum(self.density * self.decay, seen, out=self.density)
        widest = nn.functional.max_pool3d(self.density[None, None], 3, stride=1, padding=1)[0, 0]
        occupied = widest > self.density.mean().clamp_max(self.threshold)
        self.occupied.copy_(occupied | ~occupied.any())


def cell_points(
    resolution: int, device: torch.device, generator: torch.Generator | None = None
) -> Float[Tensor, "N 3"]:
    """One point in each cell of [-1, 1]^3, x slowest: uniform in the cell, or its centre."""
    axis = torch.arange(resolution, device=device, dtype=torch.float32)
    corners = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).view(-1, 3)
    if generator is None:
        shift = torch.full_like(corners, 0.5)
    else:
        shift = torch.rand(corners.shape, generator=generator, device=device)
    return (corners + shift) * (2.0 / resolution) - 1.0
