"""Backgrounds behind a scene: learned by direction, or a random colour."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from redream.representations.mlp import mlp


def spherical_harmonics(directions: Float[Tensor, "*N 3"]) -> Float[Tensor, "*N 9"]:
    """Real spherical harmonics of degree 0 to 2 of unit directions."""
    x, y, z = directions.unbind(-1)
    return torch.stack(
        [
            torch.full_like(x, 0.28209479177387814),
            0.4886025119029199 * y,
            0.4886025119029199 * z,
            0.4886025119029199 * x,
            1.0925484305920792 * x * y,
            1.0925484305920792 * y * z,
            0.31539156525252005 * (3.0 * z * z - 1.0),
            1.0925484305920792 * x * z,
            0.5462742152960396 * (x * x - y * y),
        ],
        dim=-1,
    )


class DirectionBackground(nn.Module):
    """A smooth learned background, a function of the viewing direction alone.

    Args:
        hidden: Width of the hidden layer.
        generator: Source of the initial weights.
    """

    def __init__(self, hidden: int = 32, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.mlp = mlp(9, hidden, 3, generator)

    def forward(self, directions: Float[Tensor, "*N 3"]) -> Float[Tensor, "*N 3"]:
        """Colour in [0, 1] seen along unit directions."""
        colors: Tensor = torch.sigmoid(self.mlp(spherical_harmonics(directions)))
        return colors
