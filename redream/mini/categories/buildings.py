"""Buildings."""

import numpy as np

from redream.mini.parts import Part, both, box, cylinder, ellipsoid, prism


def house(rng: np.random.Generator) -> list[Part]:
    """A door between windows in front, a window on each side, a blank back, a chimney."""
    width, depth = rng.uniform(0.95, 1.25), rng.uniform(0.75, 0.95)
    wall, roof = rng.uniform(0.5, 0.72), rng.uniform(0.35, 0.55)
    door = wall * rng.uniform(0.62, 0.74)
    eaves, front = 0.14, depth / 2
    gable = [(-front - eaves, 0.0), (front + eaves, 0.0), (0.0, roof)]
    pane = min(0.26, width * 0.22)
    parts = [
        box("body", width, wall, depth).at(0, wall / 2, 0),
        prism("accent", gable, width + eaves).turned(y=90).at(0, wall, 0),
        box("dark", 0.24, door, 0.06).at(0, door / 2, front),
        ellipsoid("glow", 0.035, 0.035, 0.04).at(0.07, door / 2, front + 0.03),
        box("light", 0.44, 0.07, 0.2).at(0, 0.035, front + 0.1),
        *both(box("light", pane, pane * 1.1, 0.05).at(width * 0.31, wall * 0.56, front)),
        *both(box("glass", pane * 0.7, pane * 0.8, 0.07).at(width * 0.31, wall * 0.56, front)),
        *both(box("light", 0.05, pane * 1.1, pane).at(width / 2, wall * 0.56, 0)),
        *both(box("glass", 0.07, pane * 0.8, pane * 0.7).at(width / 2, wall * 0.56, 0)),
        box("bark", 0.16, 0.42, 0.16).at(width * 0.3, wall + roof * 0.75, -depth * 0.2),
    ]
    if rng.random() < 0.5:
        parts.append(cylinder("light", 0.13, 0.06, sides=14).turned(x=90).at(0, wall * 0.93, front))
    return parts
