"""Solid materials and colours: what a point of a surface looks like, from where it is.

A material paints object-space positions, so it has no seams and turns with the object.
Patterns are bold on purpose: a stripe, a spot or a check spans seven or more pixels of a 64x64
picture, or about two cells of the embedded prior's latents. Stripes and checks go round the
object's upright axis, as on a turned vase: they look alike from every side, and lie in nearly the
same place on every individual, so that a small prior can learn where they are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Paint = Callable[[Floats, Floats, Floats, Floats], Floats]

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.12, 0.12),
    "orange": (0.98, 0.55, 0.10),
    "yellow": (0.98, 0.86, 0.15),
    "green": (0.16, 0.66, 0.24),
    "turquoise": (0.20, 0.80, 0.78),
    "blue": (0.14, 0.30, 0.88),
    "purple": (0.52, 0.18, 0.72),
    "pink": (0.98, 0.56, 0.74),
    "brown": (0.48, 0.28, 0.14),
    "grey": (0.58, 0.58, 0.60),
}

FIXED_ROLES: dict[str, tuple[float, float, float]] = {
    "dark": (0.09, 0.09, 0.11),
    "light": (0.96, 0.96, 0.93),
    "glass": (0.55, 0.78, 0.92),
    "glow": (1.00, 0.93, 0.55),
    "beak": (0.98, 0.60, 0.10),
    "pink": (0.96, 0.60, 0.66),
    "lamp": (0.80, 0.08, 0.08),
    "bark": (0.40, 0.26, 0.15),
    "leaf": (0.35, 0.72, 0.25),
    "patty": (0.34, 0.18, 0.10),
    "cheese": (0.98, 0.78, 0.20),
    "steel": (0.70, 0.72, 0.76),
}

DARK = np.array([0.10, 0.09, 0.12])
WHITE = np.array([0.96, 0.96, 0.94])


@dataclass(frozen=True)
class Material:
    """How a body is painted.

    Attributes:
        name: The word used in captions.
        paint: ``(position N 3, normal N 3, primary 3, secondary 3) -> rgb N 3``; positions in
            normalised units, already shifted by the scene's small random phase.
        has_colour: Whether the primary colour matters (fixed palettes ignore it).
    """

    name: str
    paint: Paint
    has_colour: bool


def contrasting(primary: Floats, rng: np.random.Generator) -> Floats:
    """Near-black or white, whichever stands out from a colour (either, for middling ones)."""
    luminance = float(primary @ np.array([0.3, 0.6, 0.1]))
    return DARK if luminance + rng.uniform(-0.12, 0.12) > 0.40 else WHITE


def _mix(first: Floats, second: Floats, share: Floats) -> Floats:
    """Blends two colours; ``share`` (``N``) is of the second."""
    return np.outer(1.0 - share, first) + np.outer(share, second)


def _plain(position: Floats, normal: Floats, primary: Floats, secondary: Floats) -> Floats:
    return np.broadcast_to(primary, position.shape)


def _height(position: Floats) -> Floats:
    """Height along a surface that is turned about the upright axis: up, and inwards on a top."""
    return position[:, 1] - 0.55 * np.hypot(position[:, 0], position[:, 2])


def _striped(position: Floats, normal: Floats, primary: Floats, secondary: Floats) -> Floats:
    band = np.floor(_height(position) / 0.24) % 2
    return np.where((band < 1)[:, None], primary, secondary)


def _spotted(position: Floats, normal: Floats, primary: Floats, secondary: Floats) -> Floats:
    cell, radius = 0.58, 0.19
    inside = np.zeros(len(position), dtype=bool)
    for shift in (0.0, 0.5):
        lattice = position / cell + shift
        offset = lattice - np.round(lattice)
        inside |= (offset**2).sum(axis=1) < (radius / cell) ** 2
    return np.where(inside[:, None], secondary, primary)


def _chequered(position: Floats, normal: Floats, primary: Floats, secondary: Floats) -> Floats:
    sector = np.floor(np.arctan2(position[:, 0], position[:, 2]) / (np.pi / 4) + 0.5)
    parity = (np.floor(_height(position) / 0.34) + sector) % 2
    return np.where((parity < 1)[:, None], primary, secondary)


def _wooden(position: Floats, normal: Floats, primary: Floats, secondary: Floats) -> Floats:
    x, y, z = position.T
    wobble = 0.05 * np.sin(5 * y + 2 * z) + 0.04 * np.sin(4 * x - 3 * y)
    radius = np.hypot(x + 0.25 * y + wobble, z - 0.15 * y + wobble)
    ring = (0.5 + 0.5 * np.sin(radius * (2 * np.pi / 0.26))) ** 1.5
    return _mix(np.array([0.80, 0.55, 0.29]), np.array([0.42, 0.23, 0.09]), ring)


def _marble(position: Floats, normal: Floats, primary: Floats, secondary: Floats) -> Floats:
    x, y, z = position.T
    swirl = np.sin(2.9 * x + 1.6 * y) + np.sin(3.7 * y - 2.2 * z) + 0.6 * np.sin(6 * z + 4 * x)
    vein = np.abs(np.sin(3.1 * x + 2.1 * y - 2.6 * z + 1.2 * swirl))
    depth = np.clip(1.15 - vein / 0.5, 0.0, 1.0)
    return _mix(np.array([0.95, 0.95, 0.96]), np.array([0.36, 0.38, 0.45]), depth)


def _golden(position: Floats, normal: Floats, primary: Floats, secondary: Floats) -> Floats:
    """A fake reflection of bright sky over dark ground, read off the normal alone."""
    x, y, z = normal.T
    bands = 0.5 + 0.5 * np.sin(4.2 * y + 0.8 * x - 0.5 * z + 0.5)
    knots = np.array([0.0, 0.45, 0.85, 1.0])
    palette = np.array([[0.50, 0.30, 0.02], [0.80, 0.56, 0.08], [0.95, 0.74, 0.16], [1, 0.9, 0.5]])
    return np.stack([np.interp(bands, knots, palette[:, i]) for i in range(3)], axis=1)


MATERIALS: dict[str, Material] = {
    material.name: material
    for material in (
        Material("plain", _plain, True),
        Material("striped", _striped, True),
        Material("spotted", _spotted, True),
        Material("chequered", _chequered, True),
        Material("wooden", _wooden, False),
        Material("marble", _marble, False),
        Material("golden", _golden, False),
    )
}
