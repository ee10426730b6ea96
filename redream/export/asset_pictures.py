"""A picture of each retrieved asset, for the report and beside it."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from redream.cameras import orbit
from redream.types import Cameras, Views

SIZE = 256
"""Pixels of a side: as large as the report shows them, however small the run's references are."""


def asset_pictures(
    render: Callable[[int, Cameras, int, int], Views],
    num_assets: int,
    elevation_deg: float = 15.0,
    size: int = SIZE,
) -> list[Float[Tensor, "3 size size"]]:
    """Renders each asset from the front, slightly above, for people to look at.

    Args:
        render: Renders an asset by its place, as the data's ``render_asset`` does.
        num_assets: How many assets there are.
        elevation_deg: The camera's elevation.
        size: Height and width in pixels.

    Returns:
        A picture over white in [0, 1] per asset, on the CPU.
    """
    camera = orbit(*(torch.tensor([each]) for each in (0.0, elevation_deg, 3.0, 40.0)))
    white = torch.ones(1, 3, 1, 1)
    views = [render(i, camera, size, size) for i in range(num_assets)]
    return [(each.rgb + (1.0 - each.opacity) * white.to(each.rgb))[0].cpu() for each in views]
