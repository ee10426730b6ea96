"""The cameras psi of a step: how many views, of what size, from where."""

from dataclasses import dataclass

import torch

from redream.cameras import sample_cameras
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
    """

    num_views: int = 1
    render_size: int | Ramp = 64
    elevation_deg: tuple[float, float] = (-10.0, 40.0)
    distance: tuple[float, float] = (2.8, 3.2)
    fovy_deg: tuple[float, float] = (40.0, 40.0)

    def sample(self, generator: torch.Generator, views_per_set: int = 1) -> Cameras:
        """The cameras of one particle's views, on the CPU, in sets of so many."""
        ranges = (self.elevation_deg, self.distance, self.fovy_deg)
        return sample_cameras(self.num_views, generator, *ranges, views_per_set)

    def size_at(self, step: int) -> int:
        """Height and width of the views at a step, in pixels."""
        return round(value_at(self.render_size, step))
