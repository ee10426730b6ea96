"""Curves as inline SVG: losses, recorded while training, and how surely a front is seen."""

import math
from collections.abc import Mapping, Sequence
from html import escape

Curve = list[tuple[int, float]]

_WIDTH, _HEIGHT, _MARGIN = 240, 96, 14


class LossHistory:
    """What the module logged, every few steps; it goes into checkpoints and back.

    Args:
        every_n_steps: Steps between records; logged values are read back from the device, so on
            a GPU each record waits for it.
    """

    def __init__(self, every_n_steps: int = 5) -> None:
        self.every_n_steps = every_n_steps
        self.curves: dict[str, Curve] = {}

    def record(self, step: int, metrics: Mapping[str, object]) -> None:
        """Appends the finite values of ``metrics`` at ``step``, if the step's turn has come.

        Lightning logs ``name``, ``name_step`` and ``name_epoch`` for one value; the first stands
        for all of them.
        """
        if step % self.every_n_steps == 0:
            self.add(step, metrics)

    def add(self, step: int, metrics: Mapping[str, object]) -> None:
        """Appends the finite values of ``metrics`` at ``step``, for what is measured seldom."""
        for name, value in metrics.items():
            base, _, suffix = name.rpartition("_")
            if suffix in ("step", "epoch") and base in metrics:
                continue
            number = float(value)  # type: ignore[arg-type]  # a tensor of one element
            if math.isfinite(number):
                self.curves.setdefault(name, []).append((step, number))

    def state_dict(self) -> dict[str, Curve]:
        """The curves, for a checkpoint."""
        return {name: list(curve) for name, curve in self.curves.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[tuple[int, float]]]) -> None:
        """Takes the curves of a checkpoint.

        Raises:
            ValueError: If they are none.
        """
        try:
            self.curves = {
                str(name): [(int(step), float(value)) for step, value in curve]
                for name, curve in state.items()
            }
        except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # it may be anything
            raise ValueError(
                "the checkpoint's loss curves are none: take the checkpoint before it"
            ) from error


def thin_out(curve: Sequence[tuple[int, float]], num_points: int = 300) -> Curve:
    """Reduces a curve to at most ``num_points`` points, each the mean over its stretch."""
    stretch = math.ceil(len(curve) / num_points)
    if stretch <= 1:
        return list(curve)
    thinned = []
    for start in range(0, len(curve), stretch):
        part = curve[start : start + stretch]
        thinned.append((part[len(part) // 2][0], sum(value for _, value in part) / len(part)))
    return thinned


def smooth(curve: Sequence[tuple[int, float]], share: float = 0.1) -> Curve:
    """Moving average over a centred window of this share of the curve's points."""
    half = int(len(curve) * share / 2)
    values = [value for _, value in curve]
    smoothed = []
    for i, (step, _) in enumerate(curve):
        window = values[max(0, i - half) : i + half + 1]
        smoothed.append((step, sum(window) / len(window)))
    return smoothed


def chart(name: str, curve: Sequence[tuple[int, float]]) -> str:
    """Draws one curve as an HTML figure: faint as recorded, bold as a moving average.

    Args:
        name: What the curve shows.
        curve: (step, value) pairs, at least one, steps ascending.

    Returns:
        A ``<figure>`` with inline SVG.
    """
    points = thin_out(curve)
    values = sorted(value for _, value in points)
    low, high = values[0], values[-1]
    first, last = points[0][0], points[-1][0]

    def path(points: Sequence[tuple[int, float]]) -> str:
        width, height = _WIDTH - 2, _HEIGHT - _MARGIN - 4
        return " ".join(
            f"{1 + width * (step - first) / max(last - first, 1):.1f},"
            f"{2 + height * (high - value) / ((high - low) or 1.0):.1f}"
            for step, value in points
        )

    base = _HEIGHT - _MARGIN
    return (
        f'<figure class="card chart"><figcaption><span>{escape(name)}</span>'
        f'<span class="soft">{points[-1][1]:.3g}</span></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" fill="none" role="img" '
        f'aria-label="{escape(name)} over steps">'
        f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{base}" y2="{base}"/>'
        f'<polyline class="raw" points="{path(points)}"/>'
        f'<polyline class="mean" points="{path(smooth(points))}"/>'
        f'<text x="1" y="{_HEIGHT - 3}">step {first}</text>'
        f'<text x="{_WIDTH - 1}" y="{_HEIGHT - 3}" text-anchor="end">{last}</text>'
        f'<text x="{_WIDTH - 1}" y="10" text-anchor="end">{high:.3g}</text></svg></figure>'
    )


def front_chart(curve: Sequence[tuple[float, float]], arc_deg: float) -> str:
    """Draws how surely the front is seen from each azimuth: one hill is right, two are two faces.

    Args:
        curve: (azimuth in degrees, 0 to 360; certainty, 0 to 1) pairs, azimuths ascending; the
            first is where the circle closes.
        arc_deg: Width of the arc about azimuth 0 in which a front is to be seen; shaded.

    Returns:
        A ``<figure>`` with inline SVG, the front in its middle.
    """
    base, top = _HEIGHT - _MARGIN, 4
    around = sorted(
        (remainder, value) for azimuth, value in curve for remainder in ((azimuth + 180.0) % 360.0,)
    )
    around = [*around, (around[0][0] + 360.0, around[0][1])]

    def place(degrees: float) -> float:
        return 1 + (_WIDTH - 2) * degrees / 360.0

    points = " ".join(
        f"{place(degrees):.1f},{base - (base - top) * value:.1f}" for degrees, value in around
    )
    left, width = place(180.0 - arc_deg / 2.0), (_WIDTH - 2) * arc_deg / 360.0
    labels = "".join(
        f'<text x="{place(180.0 + azimuth):.0f}" y="{_HEIGHT - 3}" text-anchor="{anchor}">'
        f"{azimuth}&deg;</text>"
        for azimuth, anchor in (
            (-180, "start"),
            (-90, "middle"),
            (0, "middle"),
            (90, "middle"),
            (180, "end"),
        )
    )
    return (
        '<figure class="chart"><figcaption><span>front seen, by azimuth</span></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" fill="none" role="img" '
        'aria-label="how surely the front is seen from each azimuth">'
        f'<rect class="arc" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{base - top}"/>'
        f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{base}" y2="{base}"/>'
        f'<polyline class="mean" points="{points}"/>{labels}</svg></figure>'
    )
