"""The interface of a metric: a few numbers that say how good a particle is."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from redream.types import Cameras


class Metric(ABC):
    """Measures pictures of one object from all around."""

    @abstractmethod
    def measure(
        self, prompt: str, pictures: Float[Tensor, "B 3 H W"], cameras: Cameras
    ) -> dict[str, float]:
        """Measures one object.

        Args:
            prompt: What the object should be.
            pictures: Views over white in [0, 1], azimuths equally spaced over the circle.
            cameras: The camera of each picture.

        Returns:
            Numbers by name, for ``metrics.json`` and the report.
        """


def spread(num_pictures: int, num_views: int) -> slice:
    """The slice that takes ``num_views`` equally spaced pictures of a full circle.

    Raises:
        ValueError: If they cannot be equally spaced.
    """
    if num_views < 1 or num_pictures % num_views:
        raise ValueError(
            f"num_views must divide the turntable's {num_pictures} frames, got {num_views}."
        )
    return slice(None, None, num_pictures // num_views)
