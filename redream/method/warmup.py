"""How assets hold the particles: Eq. 3, by which asset, and the shape that an own one keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.cameras import turntable
from redream.losses import asset_loss, sum_of
from redream.method.pulls import Pulls
from redream.method.terms import Drawn
from redream.representations import Representation
from redream.schedules import Ramp
from redream.types import Cameras, RetrievedAssets, Views

Assignment = Literal["best_first", "nearest"]


@dataclass(frozen=True)
class Warmup:
    """How assets attract particles.

    Attributes:
        steps: tau, the last step of warm-up.
        sigma: Width of the kernel around an asset in Eq. 3; the same for every prior and
            resolution (:func:`redream.losses.asset_loss`).
        assignment: Which asset attracts which particle: ``best_first`` gives particle i asset
            i mod N (Figs. 3 and 10), ``nearest`` the one that Eq. 3 finds nearest to the
            particle's start (App. C).
        shape_weight: How strongly a particle that started from the user's own asset keeps its
            silhouettes, to the end and in units of Eq. 3, a ramp by step.
        start_on_assets: Whether particles start with the shapes and colours of retrieved assets,
            particle i from asset i mod N, as they do with those of the user's own. What a particle
            was made from already, such as a checkpoint, goes before.
    """

    steps: int = 300
    sigma: float = 0.45
    assignment: Assignment = "best_first"
    shape_weight: Ramp = Ramp(0.0, 0.0)
    start_on_assets: bool = False

    @torch.no_grad()
    def assign(
        self,
        particles: Sequence[Representation],
        assets: RetrievedAssets,
        size: int,
        device: torch.device | str,
    ) -> Int[Tensor, " K"]:
        """Gives each particle an asset: a_i of Sec. 4.2 and App. C.

        Args:
            particles: The particles, as they start.
            assets: The retrieved assets, best first.
            size: Height and width of the compared views in pixels.
            device: Where the particles live.

        Returns:
            The index of each particle's asset.
        """
        num_assets = len(assets.references.captions)
        if self.assignment == "best_first":
            return torch.arange(len(particles)) % num_assets
        cameras = turntable(8).to(device)
        pictures = [assets.render_asset(i, cameras, size, size) for i in range(num_assets)]
        white = torch.ones(1, 3, 1, 1, device=device)
        nearest = []
        for particle in particles:
            image = particle.render(cameras, size, size).over(white)
            losses = [asset_loss(image, each.over(white), self.sigma) for each in pictures]
            nearest.append(int(torch.stack(losses).argmin()))
        return torch.tensor(nearest)


class Attraction:
    """The assets as attractors, each of its own particles.

    Args:
        warmup: How strongly, and how long.
        assets: The retrieved assets, or the user's own.
        asset_of: The asset of each particle.
        pulls: Learns how strongly each picture is pulled; None where nobody asks.

    Raises:
        ValueError: If there is no such asset, as where a checkpoint says which.
    """

    def __init__(
        self,
        warmup: Warmup,
        assets: RetrievedAssets,
        asset_of: Sequence[int],
        pulls: Pulls | None = None,
    ) -> None:
        num = len(assets.references.captions)
        for particle, asset in enumerate(asset_of):
            if not 0 <= asset < num:
                raise ValueError(
                    f"particle {particle} is to be held by asset {asset} of {num}: go on with the "
                    "assets that the checkpoint was made with, or start anew"
                )
        self.warmup, self.assets, self.asset_of = warmup, assets, asset_of
        self.pulls = Pulls() if pulls is None else pulls
        self._seen: dict[int, tuple[Cameras, Views]] = {}  # of each particle's last step

    def image(self, drawn: Drawn) -> Float[Tensor, "B 3 H W"]:
        """The particle's asset at the particle's cameras, resolution and background."""
        return _over_same(drawn, self._views(drawn))

    def losses(self, drawn: Sequence[Drawn], step: int) -> dict[str, Tensor]:
        """What pulls the particles at a step, summed over them: their names and losses."""
        warms, sigma = step < self.warmup.steps, self.warmup.sigma
        weight = self.warmup.shape_weight.at(step) if self.assets.starts else 0.0
        if not warms and weight == 0.0:
            return {}
        losses, seen = {}, [(d, self._views(d)) for d in drawn]
        if warms:
            losses["warmup"] = sum_of(self._pull(d, views) for d, views in seen)
        if weight != 0.0:
            kept = (
                asset_loss(d.views.opacity, views.opacity, sigma, d.num_latents)
                for d, views in seen
            )
            losses["shape"] = weight * sum_of(kept)
        return losses

    def _pull(self, drawn: Drawn, views: Views) -> Float[Tensor, ""]:
        """Eq. 3 of one particle; its background is not to learn what the particle lacks."""
        image = _over_same(drawn, drawn.views)
        self.pulls.watch("asset", image)
        self.pulls.watch("prior", drawn.image)
        target = _over_same(drawn, views)
        return asset_loss(image, target, self.warmup.sigma, drawn.num_latents)

    def _views(self, drawn: Drawn) -> Views:
        """The particle's asset from the particle's cameras, drawn once for all that ask."""
        cameras, views = self._seen.get(drawn.particle, (None, None))
        if cameras is not drawn.cameras or views is None:
            index, size = self.asset_of[drawn.particle], drawn.image.shape[-2:]
            views = self.assets.render_asset(index, drawn.cameras, *size)
            self._seen[drawn.particle] = drawn.cameras, views
        return views


def _over_same(drawn: Drawn, views: Views) -> Float[Tensor, "B 3 H W"]:
    """Views over the background that the particle was drawn on, which learns nothing by it."""
    return views.over(drawn.background.detach())
