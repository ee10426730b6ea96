"""The interface of a metric: a few numbers that say how good a particle is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from jaxtyping import Float, Int
from torch import Tensor

from redream.types import Cameras


class Metric(ABC):
    """Measures pictures of one object from all around.

    Attributes:
        needs_surface: Whether :meth:`measure_surface` measures something.
    """

    needs_surface = False

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

    def measure_surface(
        self, vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]
    ) -> dict[str, float]:
        """Measures the object's surface; nothing, unless a metric ``needs_surface``.

        Args:
            vertices: Positions in the world frame; none where the object has no surface.
            faces: Triangles, counter-clockwise seen from outside.

        Returns:
            Numbers by name.
        """
        return {}


def merge(measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Joins what several metrics measured on one object.

    Raises:
        ValueError: If two give one name: one of them would be lost.
    """
    merged: dict[str, float] = {}
    for measures in measured:
        twice = sorted(merged.keys() & measures.keys())
        if twice:
            raise ValueError(
                f"two metrics both give {', '.join(twice)}: set the `label` of one of them"
            )
        merged.update(measures)
    return merged


def labelled(measures: Mapping[str, float], label: str) -> dict[str, float]:
    """The measures under names that begin with a label; as they are where it is empty."""
    return {f"{label}_{name}" if label else name: value for name, value in measures.items()}


def spread(num_pictures: int, num_views: int | None) -> slice:
    """The slice that takes ``num_views`` equally spaced pictures of a full circle.

    Args:
        num_pictures: Pictures of the circle.
        num_views: How many to take; None takes all.

    Raises:
        ValueError: If they cannot be equally spaced.
    """
    if num_views is None:
        return slice(None)
    if num_views < 1 or num_pictures % num_views:
        raise ValueError(
            f"num_views must divide the turntable's {num_pictures} frames, got {num_views}."
        )
    return slice(None, None, num_pictures // num_views)
