"""Figures that stand upright and look at you."""

import numpy as np

from redream.mini.parts import Part, both, box, cone, cylinder, ellipsoid, lathe, limb, prism, torus


def robot(rng: np.random.Generator) -> list[Part]:
    """Boxes: glowing eyes and a grille, a chest panel; a dark pack on the back."""
    chest, height = rng.uniform(0.48, 0.62), rng.uniform(0.46, 0.6)
    head, leg = rng.uniform(0.4, 0.5), rng.uniform(0.28, 0.42)
    arm = rng.uniform(0.36, 0.5)
    top = leg + height
    y = top + 0.06 + head * 0.4
    parts = [
        box("body", chest, height, 0.36).at(0, leg + height / 2, 0),
        box("light", chest * 0.66, height * 0.5, 0.05).at(0, leg + height * 0.58, 0.19),
        box("lamp", 0.1, 0.1, 0.05).at(-chest * 0.17, leg + height * 0.64, 0.22),
        box("glass", 0.1, 0.1, 0.05).at(chest * 0.17, leg + height * 0.64, 0.22),
        box("dark", chest * 0.5, 0.06, 0.05).at(0, leg + height * 0.44, 0.22),
        box("dark", chest * 0.7, height * 0.75, 0.16).at(0, leg + height * 0.55, -0.25),
        cylinder("dark", 0.11, 0.1).at(0, top + 0.03, 0),
        box("body", head, head * 0.8, head * 0.75).at(0, y, 0),
        *both(ellipsoid("glow", 0.1, 0.1, 0.06).at(head * 0.24, y + 0.05, head * 0.38)),
        *both(ellipsoid("dark", 0.05, 0.05, 0.06).at(head * 0.24, y + 0.05, head * 0.38 + 0.03)),
        box("dark", head * 0.6, 0.08, 0.05).at(0, y - head * 0.25, head * 0.38),
        *both(cylinder("accent", 0.09, 0.1).turned(z=90).at(head / 2 + 0.04, y, 0)),
        limb("accent", (0, y + head * 0.4, 0), (0, y + head * 0.4 + 0.14, 0), 0.045),
        ellipsoid("lamp", 0.085, 0.085, 0.085).at(0, y + head * 0.4 + 0.2, 0),
        *both(box("accent", 0.17, arm, 0.2).at(chest / 2 + 0.1, top - arm / 2 - 0.02, 0)),
        *both(box("dark", 0.19, 0.13, 0.22).at(chest / 2 + 0.1, top - arm - 0.08, 0)),
        *both(box("accent", 0.19, leg, 0.22).at(chest * 0.26, leg / 2, 0)),
        *both(box("dark", 0.22, 0.1, 0.34).at(chest * 0.26, 0.05, 0.06)),
    ]
    return parts


def snowman(rng: np.random.Generator) -> list[Part]:
    """Three balls: coal eyes and buttons, a long carrot; a scarf and a black hat."""
    low, middle, head = rng.uniform(0.38, 0.46), rng.uniform(0.28, 0.34), rng.uniform(0.22, 0.27)
    carrot, brim = rng.uniform(0.26, 0.4), rng.uniform(0.24, 0.3)
    waist = low * 1.6 + middle * 0.5
    y = waist + middle * 0.75 + head * 0.7
    hat = y + head * 0.75
    parts = [
        ellipsoid("body", low, low * 0.92, low).at(0, low * 0.9, 0),
        ellipsoid("body", middle, middle, middle).at(0, waist, 0),
        ellipsoid("body", head, head, head).at(0, y, 0),
        cone("beak", 0.085, carrot, 10).turned(x=90).at(0, y - 0.02, head * 0.85 + carrot / 2),
        *both(ellipsoid("dark", 0.055, 0.06, 0.05).at(0.105, y + 0.08, head * 0.84)),
        *(
            ellipsoid("dark", 0.06, 0.06, 0.05).at(0, waist + s * 0.13, middle * 0.94)
            for s in (-1, 1)
        ),
        ellipsoid("dark", 0.06, 0.06, 0.05).at(0, low * 1.05, low * 0.98),
        torus("accent", head * 0.78, 0.085).at(0, y - head * 0.8, 0),
        box("accent", 0.15, 0.34, 0.09).turned(x=-8).at(0.16, y - head - 0.12, middle * 0.9),
        cylinder("dark", brim, 0.06).at(0, hat, 0),
        cylinder("dark", brim * 0.68, rng.uniform(0.2, 0.32)).at(0, hat + 0.13, 0),
    ]
    rise = rng.uniform(0.05, 0.3)
    parts += both(limb("bark", (middle * 0.8, waist, 0), (middle + 0.34, waist + rise, 0.06), 0.05))
    return parts


def knight(rng: np.random.Generator) -> list[Part]:
    """A visor's black slit, a shield with a cross and a sword; a cape behind."""
    height, leg = rng.uniform(0.44, 0.58), rng.uniform(0.3, 0.42)
    helmet, plume = rng.uniform(0.2, 0.25), rng.uniform(0.22, 0.34)
    blade, shield = rng.uniform(0.6, 0.8), rng.uniform(0.34, 0.44)
    top = leg + height
    y = top + helmet * 0.9
    crest = [(0.05, -0.05), (0.16, 0.1), (0.05, plume), (-0.25, plume), (-0.36, 0.0), (-0.2, 0.02)]
    dome = [(0.0, -helmet), (helmet, -helmet), (helmet, helmet * 0.2), (helmet * 0.7, helmet * 0.8)]
    half = shield / 2
    escutcheon = [(-half, half), (-half, -0.1), (0.0, -half * 1.5), (half, -0.1), (half, half)]
    cape = [(-0.22, 0.0), (-0.36, -top * 0.85), (0.36, -top * 0.85), (0.22, 0.0)]
    parts = [
        lathe("body", [(0, leg), (0.24, leg), (0.27, top - 0.08), (0.2, top), (0, top)], 12),
        box("dark", 0.5, 0.09, 0.5).at(0, leg + 0.08, 0),
        lathe("steel", [*dome, (0.0, helmet)], 12).at(0, y, 0),
        box("dark", helmet * 1.5, 0.09, 0.14).at(0, y + 0.03, helmet * 0.75),
        box("dark", 0.06, 0.16, 0.1).at(0, y - 0.1, helmet * 0.8),
        prism("lamp", crest, 0.13).turned(y=-90).at(0, y + helmet * 0.8, 0.02),
        *both(ellipsoid("steel", 0.15, 0.13, 0.16).at(0.3, top - 0.08, 0)),
        *both(limb("body", (0.33, top - 0.1, 0), (0.38, leg + 0.12, 0.16), 0.095)),
        *both(limb("body", (0.13, leg, 0), (0.15, 0.1, 0), 0.12, 0.11)),
        *both(box("dark", 0.2, 0.12, 0.34).at(0.15, 0.06, 0.05)),
        prism("accent", escutcheon, 0.08).at(0.36, leg + 0.16, 0.33),
        box("light", shield * 0.75, 0.09, 0.06).at(0.36, leg + 0.2, 0.36),
        box("light", 0.09, shield * 0.95, 0.06).at(0.36, leg + 0.15, 0.36),
        box("light", 0.11, blade, 0.07, (0.5, 1, 0)).at(-0.42, leg + 0.2 + blade / 2, 0.24),
        box("dark", 0.32, 0.08, 0.1).at(-0.42, leg + 0.22, 0.24),
        prism("accent", cape, 0.09).turned(x=8).at(0, top - 0.02, -0.24),
    ]
    return parts
