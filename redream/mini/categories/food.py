"""Food."""

import numpy as np

from redream.mini.parts import Part, around, box, cylinder, ellipsoid, lathe, torus


def burger(rng: np.random.Generator) -> list[Part]:
    """A domed bun over lettuce, cheese and a patty, on a flat bun."""
    radius, dome = rng.uniform(0.55, 0.65), rng.uniform(0.28, 0.42)
    bun, patty = rng.uniform(0.12, 0.2), rng.uniform(0.12, 0.18)
    y = bun
    parts = [
        lathe("body", [(0, 0), (radius * 0.85, 0), (radius, bun * 0.5), (radius, bun), (0, bun)])
    ]
    parts.append(cylinder("patty", radius * 1.05, patty).at(0, y + patty / 2, 0))
    y += patty
    parts.append(box("cheese", radius * 1.75, 0.06, radius * 1.75).turned(y=45).at(0, y + 0.03, 0))
    y += 0.06
    parts.append(cylinder("leaf", radius * 1.14, 0.1, 0.94).at(0, y + 0.05, 0))
    y += 0.1
    rim = np.radians(np.linspace(0, 90, 7))
    arch = [(radius * float(np.cos(a)), 0.06 + dome * float(np.sin(a))) for a in rim]
    arch[-1] = (0.0, 0.06 + dome)
    parts.append(lathe("body", [(0, 0), (radius * 0.97, 0), *arch], 24).at(0, y, 0))
    seed = ellipsoid("light", 0.05, 0.04, 0.07)
    parts += around(seed.at(0, y + 0.06 + dome * 0.85, radius * 0.52), 5)
    parts.append(seed.at(0, y + 0.06 + dome, 0))
    return parts


def cake(rng: np.random.Generator) -> list[Part]:
    """Two tiers with white icing between them and a ring of lit candles."""
    radius, tier = rng.uniform(0.52, 0.62), rng.uniform(0.26, 0.34)
    upper, top = radius * rng.uniform(0.58, 0.7), rng.uniform(0.22, 0.3)
    num = int(rng.integers(3, 6))
    y = tier + top
    candle = cylinder("accent", 0.055, 0.24, sides=10).at(0, y + 0.12, upper * 0.62)
    flame = ellipsoid("glow", 0.06, 0.09, 0.06).at(0, y + 0.31, upper * 0.62)
    return [
        cylinder("light", radius * 1.25, 0.06, sides=24).at(0, -0.03, 0),
        cylinder("body", radius, tier, sides=24).at(0, tier / 2, 0),
        torus("light", radius - 0.03, 0.085, 24).at(0, tier, 0),
        cylinder("body", upper, top, sides=24).at(0, tier + top / 2, 0),
        torus("light", upper - 0.03, 0.075, 24).at(0, y, 0),
        *around(candle, num),
        *around(flame, num),
    ]
