"""Which asset attracts which particle: a_i of Sec. 4.2 and App. C."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from redream.cameras import turntable
from redream.losses import asset_loss
from redream.representations import Representation
from redream.types import RetrievedAssets

Assignment = Literal["best_first", "nearest"]


@torch.no_grad()
def assign(
    assignment: Assignment,
    particles: Sequence[Representation],
    assets: RetrievedAssets,
    size: int,
    sigma: float,
    device: torch.device | str,
) -> Int[Tensor, " K"]:
    """Gives each particle an asset.

    Args:
        assignment: ``best_first`` gives particle i asset i mod N (Figs. 3 and 10), ``nearest``
            the one that Eq. 3 finds nearest to the particle's start (App. C).
        particles: The particles, as they start.
        assets: The retrieved assets, best first.
        size: Height and width of the compared views in pixels.
        sigma: Width of the kernel of Eq. 3.
        device: Where the particles live.

    Returns:
        The index of each particle's asset.
    """
    num_assets = len(assets.references.captions)
    if assignment == "best_first":
        return torch.arange(len(particles)) % num_assets
    cameras = turntable(8).to(device)
    pictures = [assets.render_asset(i, cameras, size, size) for i in range(num_assets)]
    white = torch.ones(1, 3, 1, 1, device=device)
    nearest = []
    for particle in particles:
        image = particle.render(cameras, size, size).over(white)
        losses = torch.stack([asset_loss(image, each.over(white), sigma) for each in pictures])
        nearest.append(int(losses.argmin()))
    return torch.tensor(nearest)
