"""The cameras psi of a step: how many views, of what size, from where."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from redream.cameras import half_height, sample_cameras
from redream.schedules import Ramp, value_at
from redream.types import Cameras


@dataclass(frozen=True)
class CameraSampler:
    """Cameras drawn at random around a particle, and the size of their views.

    Attributes:
        num_views: Views of each particle in a step.
        render_size: Height and width of the views in pixels, or a ramp of them by step.
        elevation_deg: Range of the elevations.
        distance: Range of the distances.
        fovy_deg: Range of the vertical fields of view.
        half_height: Range of half of the height that views show at the origin, in world units; it
            takes the place of ``distance``, so that views of any field of view show equally much:
            distance = half_height / tan(fovy / 2).
    """

    num_views: int = 1
    render_size: int | Ramp = 64
    elevation_deg: tuple[float, float] = (-10.0, 40.0)
    distance: tuple[float, float] = (2.8, 3.2)
    fovy_deg: tuple[float, float] = (40.0, 40.0)
    half_height: tuple[float, float] | None = None

    def sample(
        self,
        generator: torch.Generator,
        views_per_set: int = 1,
        azimuths_deg: Sequence[float] | None = None,
    ) -> Cameras:
        """The cameras of one particle's views, on the CPU.

        Args:
            generator: The source of randomness.
            views_per_set: So many neighbours are a set.
            azimuths_deg: Where those of a set stand; None puts them at equal steps.
        """
        return sample_cameras(
            self.num_views,
            generator,
            self.elevation_deg,
            self.distance,
            self.fovy_deg,
            views_per_set,
            self.half_height,
            azimuths_deg,
        )

    @property
    def distances(self) -> tuple[float, float]:
        """The range of the distances, however they are drawn."""
        if self.half_height is None:
            return self.distance
        (low, high), (narrow, wide) = self.half_height, self.fovy_deg
        tangents = [math.tan(math.radians(each) / 2.0) for each in (wide, narrow)]
        return low / tangents[0], high / tangents[1]

    @property
    def half_heights(self) -> tuple[float, float]:
        """The range of half of what views show at the origin, however distances are drawn."""
        if self.half_height is not None:
            return self.half_height
        (near, far), (narrow, wide) = self.distance, self.fovy_deg
        return half_height(narrow, near), half_height(wide, far)

    def size_at(self, step: int) -> int:
        """Height and width of the views at a step, in pixels."""
        return round(value_at(self.render_size, step))
