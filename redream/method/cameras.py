"""The cameras psi of a step: how many views, of what size, from where."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from redream.cameras import DISTANCE, half_height, require_one_distance, sample_cameras
from redream.schedules import Ramp, value_at
from redream.types import Cameras


@dataclass(frozen=True)
class CameraSampler:
    """Cameras drawn at random around a particle, and the size of their views.

    Attributes:
        num_views: Views of each particle in a step, or a ramp of them by step; rounded down to
            whole sets where a prior looks at those.
        render_size: Height and width of the views in pixels, or a ramp of them by step.
        elevation_deg: Range of the elevations.
        distance: Range of the distances; 2.8 to 3.2 where ``half_height`` is null as well.
        fovy_deg: Range of the vertical fields of view.
        half_height: Instead of ``distance``, range of half of the height that views show at the
            origin, in world units: views of any field of view show equally much, as the distance is
            half_height / tan(fovy / 2).

    Raises:
        ValueError: If both say how far away cameras are.
    """

    num_views: int | Ramp = 1
    render_size: int | Ramp = 64
    elevation_deg: tuple[float, float] = (-10.0, 40.0)
    distance: tuple[float, float] | None = None
    fovy_deg: tuple[float, float] = (40.0, 40.0)
    half_height: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        require_one_distance(self.distance, self.half_height, "model.cameras")

    def sample(
        self,
        num: int,
        generator: torch.Generator,
        views_per_set: int = 1,
        azimuths_deg: Sequence[float] | None = None,
    ) -> Cameras:
        """The cameras of one particle's views, on the CPU.

        Args:
            num: How many; :meth:`num_at`.
            generator: The source of randomness.
            views_per_set: So many neighbours are a set.
            azimuths_deg: Where those of a set stand; None puts them at equal steps.
        """
        distance = self.distance or DISTANCE
        ranges = (self.elevation_deg, distance, self.fovy_deg)
        return sample_cameras(
            num, generator, *ranges, views_per_set, self.half_height, azimuths_deg
        )

    def size_at(self, step: int) -> int:
        """Height and width of the views at a step, in pixels."""
        return round(value_at(self.render_size, step))

    def num_at(self, step: int, views_per_set: int = 1) -> int:
        """Views of each particle at a step, whole sets of them."""
        return int(value_at(self.num_views, step)) // views_per_set * views_per_set

    @property
    def nums(self) -> tuple[int, ...]:
        """The fewest and the most views of a step."""
        if isinstance(self.num_views, Ramp):
            return tuple(sorted({int(self.num_views.start), int(self.num_views.end)}))
        return (self.num_views,)

    @property
    def most(self) -> tuple[int, int]:
        """How many views a step has at most of all its pixels, and how large they are then."""
        ramps = [each for each in (self.num_views, self.render_size) if isinstance(each, Ramp)]
        last = max((each.end_step for each in ramps), default=0)
        found = [(self.num_at(step), self.size_at(step)) for step in range(last + 1)]
        return max(found, key=lambda each: each[0] * each[1] ** 2)

    @property
    def distances(self) -> tuple[float, float]:
        """The range of the distances, however they are drawn."""
        if self.half_height is None:
            return self.distance or DISTANCE
        (low, high), (narrow, wide) = self.half_height, self.fovy_deg
        tangents = [math.tan(math.radians(each) / 2.0) for each in (wide, narrow)]
        return low / tangents[0], high / tangents[1]

    @property
    def half_heights(self) -> tuple[float, float]:
        """The range of half of what views show at the origin, however distances are drawn."""
        if self.half_height is not None:
            return self.half_height
        (near, far), (narrow, wide) = self.distances, self.fovy_deg
        return half_height(narrow, near), half_height(wide, far)
