"""The views that a network was trained with, and whether a run's lie near enough."""

from collections.abc import Iterator
from typing import NamedTuple

Range = tuple[float, float]


class LearnedViews(NamedTuple):
    """Where the cameras stood whose pictures a network knows.

    Attributes:
        elevation_deg: Range of their elevations.
        fovy_deg: Range of their vertical fields of view; 0 is orthographic.
        half_height: Range of half of the height that they showed at the origin, in the units of a
            world whose objects have radius 0.9: how large objects are in a picture.
        beyond_deg: How far a run's elevations may lie outside.
        beyond_fovy_deg: How far its fields of view may.
        beyond_times: By what factor objects may be larger or smaller.
    """

    elevation_deg: Range
    fovy_deg: Range
    half_height: Range
    beyond_deg: float = 15.0
    beyond_fovy_deg: float = 15.0
    beyond_times: float = 1.5

    def require(
        self, name: str, elevation_deg: Range, fovy_deg: Range, half_height: Range, option: str
    ) -> None:
        """Finds out whether views can be scored.

        Args:
            name: Of the prior.
            elevation_deg: Range of the views' elevations.
            fovy_deg: Range of their fields of view.
            half_height: Range of half of what they show at the origin.
            option: Of the command line, where all three are set.

        Raises:
            ValueError: If they lie far outside; one line, with what to set.
        """
        for said in self._far(elevation_deg, fovy_deg, half_height, option):
            raise ValueError(f"{name} has learned {said}")

    def _far(
        self, elevation_deg: Range, fovy_deg: Range, half_height: Range, option: str
    ) -> Iterator[str]:
        for key, what, own, given, beyond in (
            ("elevation_deg", "elevations", self.elevation_deg, elevation_deg, self.beyond_deg),
            ("fovy_deg", "fields of view", self.fovy_deg, fovy_deg, self.beyond_fovy_deg),
        ):
            (least, most), (low, high) = own, given
            if low < least - beyond or high > most + beyond:
                yield (
                    f"{what} of {least:g} to {most:g} degrees, and {key} is {low:g} to {high:g}: "
                    f"set {option}.{key} [{least:g},{most:g}]"
                )
        (least, most), (low, high) = self.half_height, half_height
        if low < least / self.beyond_times or high > most * self.beyond_times:
            size = "farther away" if high > most * self.beyond_times else "nearer"
            yield (
                f"views of half the height {least:g} to {most:g} at the origin, and these show "
                f"{low:.3g} to {high:.3g}, from {size} than it knows: "
                f"set {option}.half_height [{least:g},{most:g}]"
            )
