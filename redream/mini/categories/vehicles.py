"""Things that drive and fly."""

import numpy as np

from redream.mini.parts import Part, around, both, box, cylinder, lathe, prism


def _wheels(radius: float, half_width: float, axles: tuple[float, ...]) -> list[Part]:
    tyre = cylinder("dark", radius, 0.16).turned(z=90)
    hub = cylinder("light", radius * 0.5, 0.18, sides=12).turned(z=90)
    return [
        wheel
        for z in axles
        for part in (tyre, hub)
        for wheel in both(part.at(half_width, radius, z))
    ]


def car(rng: np.random.Generator) -> list[Part]:
    """A long bonnet with headlights and grille; a cabin set back; red lamps behind."""
    length, width = rng.uniform(1.3, 1.6), rng.uniform(0.64, 0.74)
    wheel, cabin = rng.uniform(0.17, 0.21), rng.uniform(0.6, 0.75)
    height, roof = rng.uniform(0.24, 0.3), rng.uniform(0.26, 0.34)
    floor = wheel * 0.75
    front, middle, deck = length / 2, -length * 0.12, floor + height
    y, slope = deck + roof / 2 - 0.01, 0.72
    lamp = cylinder("glow", 0.095, 0.06, sides=12).turned(x=90)
    shell = (slope * 1.07, slope * 1.02, 0.0)
    return [
        box("body", width, height, length, (0.96, 0.97, 0)).at(0, deck - height / 2, 0),
        box("glass", width * 0.93, roof, cabin, (0.86, slope, 0)).at(0, y, middle),
        box("dark", width * 0.94, roof * 0.9, cabin * 0.55, (0.87, 0.8, 0)).at(0, y, middle - 0.01),
        box("accent", width * 0.84, 0.08, cabin * 0.8, (0.9, 0.9, 0)).at(0, deck + roof, middle),
        box("body", width * 0.945, roof, 0.09, shell).at(0, y, middle - 0.02),
        *both(lamp.at(width * 0.34, deck - height * 0.36, front)),
        box("dark", width * 0.36, height * 0.42, 0.05).at(0, deck - height * 0.42, front),
        box("light", width * 1.02, 0.075, 0.1).at(0, floor + 0.04, front),
        *both(box("lamp", 0.13, 0.1, 0.05).at(width * 0.36, deck - 0.1, -front)),
        box("dark", width * 1.02, 0.075, 0.08).at(0, floor + 0.04, -front),
        *_wheels(wheel, width / 2 - 0.03, (front * 0.62, -front * 0.62)),
    ]


def bus(rng: np.random.Generator) -> list[Part]:
    """A tall long box with rows of windows; a wide windscreen and headlights in front."""
    length, width = rng.uniform(1.5, 1.9), rng.uniform(0.56, 0.66)
    height, wheel = rng.uniform(0.62, 0.78), rng.uniform(0.13, 0.16)
    floor, front = wheel * 0.9, length / 2
    num = int(rng.integers(3, 5))
    pane, y = (length - 0.3) / num, floor + height * 0.66
    parts = [
        box("body", width, height, length).at(0, floor + height / 2, 0),
        box("accent", width * 0.9, 0.08, length * 0.94).at(0, floor + height + 0.03, 0),
        *both(box("accent", 0.04, 0.1, length * 0.98).at(width / 2, floor + height * 0.3, 0)),
        box("glass", width * 0.86, height * 0.45, 0.05).at(0, y, front),
        box("dark", 0.05, height * 0.45, 0.06).at(0, y, front),
        *both(
            cylinder("glow", 0.085, 0.06, sides=12)
            .turned(x=90)
            .at(width * 0.32, floor + 0.16, front)
        ),
        box("dark", width * 0.3, 0.12, 0.05).at(0, floor + 0.16, front),
        box("dark", width * 0.55, height * 0.22, 0.04).at(0, y + 0.06, -front),
        *both(box("lamp", 0.1, 0.16, 0.05).at(width * 0.38, floor + 0.18, -front)),
        *_wheels(wheel, width / 2 - 0.04, (front * 0.6, -front * 0.6)),
    ]
    for i in range(num):
        z = -length / 2 + 0.15 + pane * (i + 0.5)
        parts += both(box("glass", 0.04, height * 0.36, pane * 0.74).at(width / 2, y, z))
    return parts


def rocket(rng: np.random.Generator) -> list[Part]:
    """A pointed tube on fins, with a dark nozzle."""
    height, radius = rng.uniform(0.9, 1.25), rng.uniform(0.21, 0.28)
    nose, fin = rng.uniform(0.4, 0.6), rng.uniform(0.28, 0.4)
    blade = [(0.0, 0.02), (fin, -0.22), (fin, 0.08), (0.0, 0.5)]
    tip = [(radius, 0.0), (radius * 0.82, nose * 0.4), (radius * 0.42, nose * 0.78), (0.0, nose)]
    skirt = [(0.0, 0.0), (radius * 0.85, 0.0), (radius * 1.08, height * 0.4), (radius, height)]
    return [
        lathe("body", [*skirt, (0.0, height)]),
        lathe("accent", [(0.0, 0.0), *tip]).at(0, height, 0),
        cylinder("dark", radius * 0.8, 0.16, 0.6).at(0, -0.08, 0),
        *around(prism("accent", blade, 0.09).at(radius * 0.75, 0.05, 0), 4, 45),
        *around(
            cylinder("glass", 0.1, 0.06, sides=12).turned(x=90).at(0, height * 0.72, radius), 4
        ),
    ]
