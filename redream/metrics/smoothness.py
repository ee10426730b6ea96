"""A-LPIPS: how much an object's picture changes from one azimuth to the next."""

import torch
from jaxtyping import Float
from torch import Tensor

from redream.metrics.base import Metric, spread
from redream.metrics.perceptual import PerceptualDistance
from redream.types import Cameras


class ALPIPS(Metric):
    """Mean perceptual distance of neighbouring azimuths (A-LPIPS, Hong et al., 2023).

    Lower is smoother: seams, faces that appear of a sudden and flicker raise it. Two traps, so
    never report it alone: it falls with the step between views, so numbers of different
    ``num_views`` do not compare (the step is among the measures), and it falls with blur, so that
    an empty picture is perfect. The orbit is closed: the last view neighbours the first. Views are
    over white, at the turntable's elevation. The paper does not state how many views it takes;
    threestudio's test set, which it follows, has 120.

    With the distance's name for NET, the measures are ``a_lpips_NET``, the mean;
    ``a_lpips_NET_max`` and ``_std`` over the orbit, which find seams; and the protocol:
    ``_num_views``, ``_step_deg``, ``_elevation_deg``.

    Args:
        distance: The perceptual distance, such as :class:`~redream.metrics.LPIPS`.
        num_views: Views of the orbit, which must divide the turntable's frames; None takes all.
    """

    def __init__(self, distance: PerceptualDistance, num_views: int | None = None) -> None:
        self.distance = distance
        self.num_views = num_views

    @torch.no_grad()
    def measure(
        self, prompt: str, pictures: Float[Tensor, "B 3 H W"], cameras: Cameras
    ) -> dict[str, float]:
        """Gives mean, maximum and standard deviation, and the protocol.

        Raises:
            ValueError: With fewer than two views.
        """
        chosen = spread(pictures.shape[0], self.num_views)
        views = pictures[chosen]
        if len(views) < 2:
            raise ValueError("A-LPIPS compares neighbouring views: it needs two or more")
        distances = self.distance.around(views)
        name = f"a_lpips_{self.distance.name}"
        return {
            name: float(distances.mean()),
            f"{name}_max": float(distances.max()),
            f"{name}_std": float(distances.std(correction=0)),
            f"{name}_num_views": float(len(views)),
            f"{name}_step_deg": 360.0 / len(views),
            f"{name}_elevation_deg": float(cameras.elevation_deg[chosen].mean()),
        }
