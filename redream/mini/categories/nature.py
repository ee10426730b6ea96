"""Things that grow."""

import numpy as np

from redream.mini.parts import Part, around, cone, cylinder, ellipsoid, lathe, limb


def tree(rng: np.random.Generator) -> list[Part]:
    """A fir: stacked cones on a brown trunk."""
    num = int(rng.integers(2, 5))
    width, trunk = rng.uniform(0.46, 0.6), rng.uniform(0.24, 0.36)
    tier = 1.05 / num
    parts = [cylinder("bark", 0.12, trunk + 0.2).at(0, trunk / 2, 0)]
    for i in range(num):
        radius = width * (1 - 0.62 * i / num)
        parts.append(cone("body", radius, tier * 1.55).at(0, trunk + tier * (i + 0.75), 0))
    return parts


def cactus(rng: np.random.Generator) -> list[Part]:
    """A thick column with raised arms in a clay pot."""
    height, radius = rng.uniform(0.75, 1.05), rng.uniform(0.17, 0.22)
    pot = 0.34
    parts = [
        lathe("bark", [(0, 0), (0.24, 0), (0.32, pot), (0, pot)]),
        cylinder("bark", 0.36, 0.1).at(0, pot - 0.03, 0),
        limb("body", (0, pot, 0), (0, pot + height, 0), radius),
    ]
    for side in (-1.0, 1.0):
        y, up = pot + height * rng.uniform(0.3, 0.6), rng.uniform(0.2, 0.42)
        reach = side * (radius + 0.2)
        parts += [
            limb("body", (0, y, 0), (reach, y, 0), 0.12),
            limb("body", (reach, y, 0), (reach, y + up, 0), 0.12),
        ]
    flower = ellipsoid("pink", 0.09, 0.07, 0.09).at(0.05, 0, 0)
    return parts + around(flower.at(0, pot + height + radius, 0), 3)


def mushroom(rng: np.random.Generator) -> list[Part]:
    """A wide domed cap with pale gills on a fat white stem."""
    cap, dome = rng.uniform(0.48, 0.64), rng.uniform(0.32, 0.5)
    stem, height = rng.uniform(0.16, 0.22), rng.uniform(0.45, 0.65)
    rim = np.radians(np.linspace(0, 90, 7))
    arch = [(cap * float(np.cos(a)), dome * float(np.sin(a))) for a in rim]
    arch[-1] = (0.0, dome)
    return [
        lathe("light", [(0, 0), (stem * 1.35, 0), (stem * 0.9, height * 0.5), (stem, height)]),
        lathe("light", [(0, -0.01), (cap * 0.94, -0.01), (cap * 0.94, 0)]).at(0, height, 0),
        lathe("body", [(0, 0), *arch], 24).at(0, height, 0),
    ]
