"""Where an asset's pictures come from: rendered here, or rendered before."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from redream.assets import AssetRenderer, Store
from redream.cameras import turntable


class PictureSource(ABC):
    """Gives pictures of assets from several sides."""

    @abstractmethod
    def pictures(self, uid: str) -> Float[Tensor, "M 3 H W"]:
        """Pictures of an asset in [0, 1], at least one, blank ones left out.

        Raises:
            ValueError: If the asset cannot be shown.
        """

    @abstractmethod
    def settings(self) -> dict[str, object]:
        """What tells these pictures from others of the same assets; goes into the manifest."""


class RenderedPictures(PictureSource):
    """Renders every asset of a store from all round.

    Args:
        store: Where the assets are.
        size: Height and width in pixels.
        num_views: Pictures of each asset, at equal azimuth steps.
        elevation_deg: Elevation of the cameras.
        distance: Distance of the cameras.
        fovy_deg: Vertical field of view.
        background: Grey level behind the assets.
    """

    def __init__(
        self,
        store: Store,
        size: int,
        num_views: int = 8,
        elevation_deg: float = 15.0,
        distance: float = 3.0,
        fovy_deg: float = 40.0,
        background: float = 1.0,
    ) -> None:
        if num_views < 1:
            raise ValueError(f"num_views is {num_views}, and must be at least 1")
        self.store, self.size, self.background = store, size, background
        self._views = (num_views, elevation_deg, distance, fovy_deg)

    def pictures(self, uid: str) -> Float[Tensor, "M 3 H W"]:
        """Loads and renders an asset."""
        renderer = AssetRenderer(self.store.load(uid))
        views = renderer.render(turntable(*self._views), self.size, self.size)
        rgba = torch.cat([views.rgb, views.opacity], dim=1)
        return over_background(rgba, self.background)

    def settings(self) -> dict[str, object]:
        """The cameras."""
        names = ("num_views", "elevation_deg", "distance", "fovy_deg")
        views = dict(zip(names, self._views, strict=True))
        return {"made": "rendered", **views, "size": self.size, "background": self.background}


def over_background(rgba: Float[Tensor, "M 4 H W"], background: float) -> Float[Tensor, "M2 3 H W"]:
    """Puts premultiplied RGBA pictures before a grey background, blank ones left out.

    Raises:
        ValueError: If all are blank.
    """
    rgb, alpha = rgba[:, :3], rgba[:, 3:]
    seen = alpha.flatten(1).amax(1) > 0.0
    if not seen.any():
        raise ValueError("nothing of it can be seen")
    return (rgb + (1.0 - alpha) * background)[seen]
