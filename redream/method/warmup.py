"""How assets hold the particles: Eq. 3's warm-up, and the shape that an own asset keeps."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from redream.losses import asset_loss, sum_of
from redream.method.guidance import Drawn
from redream.schedules import Ramp
from redream.types import Cameras, RetrievedAssets, Views


class Attraction:
    """The assets as attractors, each of its own particles.

    Args:
        assets: The retrieved assets, or the user's own.
        asset_of: The asset of each particle.
        warmup_steps: tau, the last step of warm-up.
        sigma: Width of the kernel around an asset in Eq. 3.
        shape_weight: How strongly particles that started from an asset keep its silhouettes, in
            units of Eq. 3, a ramp by step.
    """

    def __init__(
        self,
        assets: RetrievedAssets,
        asset_of: Sequence[int],
        warmup_steps: int,
        sigma: float,
        shape_weight: Ramp,
    ) -> None:
        self.assets, self.asset_of = assets, asset_of
        self.warmup_steps, self.sigma, self.shape_weight = warmup_steps, sigma, shape_weight
        self._seen: dict[int, tuple[Cameras, Views]] = {}  # of each particle's last step

    def image(self, drawn: Drawn) -> Float[Tensor, "B 3 H W"]:
        """The particle's asset at the particle's cameras, resolution and background."""
        return _over_same(drawn, self._views(drawn))

    def losses(self, drawn: Sequence[Drawn], step: int) -> dict[str, Tensor]:
        """What pulls the particles at a step, summed over them: their names and losses."""
        warms = step < self.warmup_steps
        weight = self.shape_weight.at(step) if self.assets.starts else 0.0
        if not warms and weight == 0.0:
            return {}
        losses, seen = {}, [(d, self._views(d)) for d in drawn]
        if warms:
            pulls = (
                asset_loss(_over_same(d, d.views), _over_same(d, views), self.sigma)
                for d, views in seen
            )
            losses["warmup"] = sum_of(pulls)
        if weight != 0.0:
            kept = (asset_loss(d.views.opacity, views.opacity, self.sigma) for d, views in seen)
            losses["shape"] = weight * sum_of(kept)
        return losses

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
