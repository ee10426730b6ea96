"""Colour at a point, from a hash encoding: the texture of a surface before it is baked."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from redream.kernels.hash_grid import HashGrid
from redream.representations.mlp import mlp

_BATCH = 4096


class ColorField(nn.Module):
    """View-independent colour on a hash encoding of the box [-1, 1]^3.

    Args:
        grid: The hash encoding.
        hidden: Width of the hidden layer.
        generator: Source of the initial weights.
    """

    def __init__(
        self, grid: HashGrid, hidden: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.grid = grid
        self.mlp = mlp(grid.num_features, hidden, 3, generator)

    def forward(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Colour in [0, 1] at world points, with gradients to points and parameters."""
        colors: Tensor = torch.sigmoid(self.mlp(self.grid(0.5 * points + 0.5)))
        return colors

    def fit(
        self,
        points: Float[Tensor, "N 3"],
        colors: Float[Tensor, "N 3"],
        num_steps: int,
        generator: torch.Generator,
    ) -> None:
        """Learns colours by heart, by Adam on the mean squared error.

        Args:
            points: World points, on any device.
            colors: Their colours in [0, 1].
            num_steps: Steps, each on 4096 points.
            generator: Draws the points of each step, on the CPU.
        """
        weight = next(self.mlp.parameters())
        points, colors = points.to(weight), colors.to(weight)
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-2, betas=(0.9, 0.99), eps=1e-15)
        with torch.enable_grad():
            for _ in range(num_steps):
                rows = torch.randint(len(points), (_BATCH,), generator=generator)
                loss = ((self(points[rows]) - colors[rows]) ** 2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        self.zero_grad()
