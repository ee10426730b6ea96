"""A picture of each retrieved asset, for the report and beside it."""

import torch
from jaxtyping import Float
from torch import Tensor

from redream.types import References


def asset_pictures(
    references: References | None, num_assets: int, elevation_deg: float = 15.0
) -> list[Float[Tensor, "3 H W"] | None]:
    """Chooses for each asset the reference that shows it best: from the front, slightly above.

    Args:
        references: The rendered references, or None where there are none.
        num_assets: How many assets were retrieved.
        elevation_deg: The elevation sought.

    Returns:
        A picture over white per asset; None for an asset without references.
    """
    pictures: list[Float[Tensor, "3 H W"] | None] = [None] * num_assets
    if references is None:
        return pictures
    views = references.cameras
    azimuth_off = torch.remainder(views.azimuth_deg + 180.0, 360.0) - 180.0
    off = azimuth_off**2 + (views.elevation_deg - elevation_deg) ** 2
    for i in range(num_assets):
        mine = references.asset_index == i
        if mine.any():
            best = int(torch.where(mine, off, torch.inf).argmin())
            one = references._replace(rgba=references.rgba[best : best + 1].float().cpu())
            pictures[i] = one.over(torch.ones(1, 3, 1, 1))[0]
    return pictures
