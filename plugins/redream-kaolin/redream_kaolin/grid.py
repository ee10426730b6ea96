"""The tetrahedral grid of DMTet: a cube cut into cells, each cell into six tetrahedra (Kuhn)."""

from itertools import permutations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class TetrahedralGrid:
    """A Kuhn grid over the box [-1, 1]^3: conforming, generated, and without a table to download.

    Each of the ``resolution^3`` cells is cut into the six tetrahedra along the paths that walk its
    edges from the lowest corner to the highest, one for each order of the axes. All tetrahedra are
    wound so that marching them gives triangles that are counter-clockwise seen from outside,
    where the signed distance is negative.

    Args:
        resolution: Cells along each axis.

    Raises:
        ValueError: If there is no cell.
    """

    def __init__(self, resolution: int) -> None:
        if resolution < 1:
            raise ValueError(f"a tetrahedral grid needs one cell or more, got {resolution}")
        self.resolution = resolution
        self.side = resolution + 1

    @property
    def num_vertices(self) -> int:
        """How many vertices there are."""
        return self.side**3

    def vertices(self, device: torch.device | str = "cpu") -> Float[Tensor, "N 3"]:
        """Positions of the vertices, z fastest."""
        axis = torch.linspace(-1.0, 1.0, self.side, device=device)
        return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).view(-1, 3)

    def tetrahedra(self, cells: Int[Tensor, " M"]) -> Int[Tensor, "T 4"]:
        """The tetrahedra of some cells.

        Args:
            cells: Numbers of cells, z fastest.

        Returns:
            Indices into :meth:`vertices`, six rows a cell.
        """
        paths = torch.tensor(_paths(self.side), device=cells.device)
        return (self._lowest(cells)[:, None, None] + paths).view(-1, 4)

    def corners(self, cells: Int[Tensor, " M"]) -> Int[Tensor, "M 2 2 2"]:
        """The vertices of some cells, indexed ``[cell, x, y, z]``."""
        step = torch.arange(2, device=cells.device)
        x, y, z = torch.meshgrid(step, step, step, indexing="ij")
        return self._lowest(cells)[:, None, None, None] + (x * self.side + y) * self.side + z

    def border(self, device: torch.device | str = "cpu") -> Bool[Tensor, " N"]:
        """Which vertices lie on the faces of the box."""
        outer = torch.ones((self.side,) * 3, dtype=torch.bool, device=device)
        outer[1:-1, 1:-1, 1:-1] = False
        return outer.view(-1)

    def all_cells(self, device: torch.device | str = "cpu") -> Int[Tensor, " M"]:
        """The numbers of all cells."""
        return torch.arange(self.resolution**3, device=device)

    def crossed_cells(self, inside: Bool[Tensor, " N"]) -> Int[Tensor, " M"]:
        """The cells that the surface crosses: some corners inside, some outside.

        The surface of a fine grid crosses few of its cells, so that the tetrahedra of all of them
        (100 million at a resolution of 256) never have to be listed.

        Args:
            inside: Whether each vertex is inside.

        Returns:
            Their numbers, in ascending order.
        """
        some = every = inside.view(self.side, self.side, self.side)
        for axis in range(3):
            low, high = (some.narrow(axis, start, self.resolution) for start in (0, 1))
            some = low | high
            low, high = (every.narrow(axis, start, self.resolution) for start in (0, 1))
            every = low & high
        return (some & ~every).view(-1).nonzero()[:, 0]

    def _lowest(self, cells: Int[Tensor, " M"]) -> Int[Tensor, " M"]:
        """The vertex of each cell where x, y and z are lowest."""
        x, y, z = (
            cells.div(self.resolution**power, rounding_mode="floor") % self.resolution
            for power in (2, 1, 0)
        )
        return (x * self.side + y) * self.side + z


def _paths(side: int) -> list[list[int]]:
    """Offsets of the six tetrahedra's corners from a cell's lowest vertex."""
    strides = (side * side, side, 1)
    paths = []
    for order in permutations(range(3)):
        steps = [strides[axis] for axis in order]
        path = [0, steps[0], steps[0] + steps[1], sum(steps)]
        is_even = order in ((0, 1, 2), (1, 2, 0), (2, 0, 1))
        paths.append([*path[:2], path[3], path[2]] if is_even else path)
    return paths
