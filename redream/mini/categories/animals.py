"""Animals: big heads and big eyes in front, tails behind."""

import numpy as np

from redream.mini.parts import Part, both, box, chain, cone, ellipsoid, limb, prism


def dog(rng: np.random.Generator) -> list[Part]:
    """Stands on four legs; a long snout with a black nose, floppy ears, a raised tail."""
    length, leg = rng.uniform(0.42, 0.68), rng.uniform(0.24, 0.36)
    girth, head = rng.uniform(0.23, 0.29), rng.uniform(0.28, 0.33)
    ear, snout = rng.uniform(0.24, 0.38), rng.uniform(0.2, 0.3)
    back, chest, spine = -length / 2, length / 2, leg + girth * 0.8
    parts = [limb("body", (0, spine, back), (0, spine + 0.03, chest), girth * 0.92, girth)]
    for z in (back, chest):
        parts += both(limb("body", (girth * 0.6, spine, z), (girth * 0.64, 0.09, z), 0.125, 0.11))
    x, y, z = 0.0, spine + girth + head * 0.55, chest + head * 0.55
    parts += [
        limb("body", (x, spine + 0.05, chest), (x, y, z), 0.19, 0.17),
        ellipsoid("body", head, head * 0.95, head * 0.95).at(x, y, z),
        limb("accent", (x, y - 0.08, z + 0.1), (x, y - 0.1, z + head * 0.6 + snout), 0.145, 0.11),
        ellipsoid("dark", 0.075, 0.06, 0.06).at(x, y - 0.03, z + head * 0.6 + snout + 0.08),
        *both(ellipsoid("light", 0.09, 0.1, 0.05).at(0.115, y + 0.1, z + head * 0.82)),
        *both(ellipsoid("dark", 0.058, 0.065, 0.05).at(0.115, y + 0.1, z + head * 0.82 + 0.03)),
        *both(
            ellipsoid("accent", 0.06, ear * 0.62, 0.13)
            .turned(z=14)
            .at(head * 1.02, y - ear * 0.22, z - 0.03)
        ),
        limb("body", (x, spine + 0.1, back - girth * 0.7), (x, spine + 0.42, back - 0.42), 0.1),
    ]
    return parts


def cat(rng: np.random.Generator) -> list[Part]:
    """Sits upright; pointed ears, a pale muzzle, a long tail rising behind."""
    height, head = rng.uniform(0.5, 0.72), rng.uniform(0.27, 0.33)
    ear, belly = rng.uniform(0.24, 0.34), rng.uniform(0.26, 0.33)
    side = float(rng.choice([-1, 1]))
    y, z = height + head * 0.65, 0.14
    triangle = [(-0.13, 0.0), (0.13, 0.0), (0.04, ear)]
    inner = [(-0.07, 0.03), (0.08, 0.03), (0.035, ear * 0.75)]
    parts = [
        ellipsoid("body", belly, belly * 0.85, belly * 1.15).at(0, belly * 0.85, -0.1),
        limb("body", (0, belly * 0.9, -0.06), (0, height, 0.08), belly * 0.85, 0.17),
        ellipsoid("light", 0.12, 0.2, 0.08).at(0, height * 0.62, 0.2),
        ellipsoid("body", head * 1.12, head * 0.92, head * 0.9).at(0, y, z),
        *both(prism("body", triangle, 0.1).at(head * 0.6, y + head * 0.62, z)),
        *both(prism("pink", inner, 0.04).at(head * 0.6, y + head * 0.62, z + 0.045)),
        ellipsoid("light", 0.14, 0.09, 0.09).at(0, y - 0.11, z + head * 0.8),
        ellipsoid("pink", 0.05, 0.04, 0.04).at(0, y - 0.05, z + head * 0.8 + 0.085),
        *both(ellipsoid("glow", 0.09, 0.1, 0.05).at(0.14, y + 0.06, z + head * 0.78)),
        *both(ellipsoid("dark", 0.045, 0.085, 0.04).at(0.14, y + 0.06, z + head * 0.78 + 0.035)),
        *both(limb("body", (0.12, height * 0.7, 0.16), (0.12, 0.06, 0.24), 0.09, 0.085)),
        *both(ellipsoid("accent", 0.1, 0.065, 0.14).at(0.13, 0.065, 0.28)),
        *both(ellipsoid("body", 0.12, 0.17, 0.22).at(belly * 0.85, 0.17, -0.02)),
    ]
    tail = [(0, 0.1, -0.3), (0.1, 0.12, -0.6), (0.22, 0.36, -0.68), (0.22, 0.66, -0.62)]
    curl = [(side * x, y, z) for x, y, z in tail]
    return parts + chain("body", curl, 0.085, 0.075) + chain("accent", curl[-2:], 0.086, 0.08)


def rabbit(rng: np.random.Generator) -> list[Part]:
    """An egg with very long ears, big front teeth and feet, a white ball of a tail."""
    ear, belly = rng.uniform(0.5, 0.75), rng.uniform(0.33, 0.4)
    head, tilt = rng.uniform(0.25, 0.29), rng.uniform(4, 20)
    y, z = belly * 1.75 + head * 0.5, 0.16
    parts = [
        ellipsoid("body", belly * 0.95, belly * 1.1, belly * 1.05).at(0, belly * 1.05, -0.08),
        ellipsoid("light", belly * 0.55, belly * 0.7, 0.1).at(0, belly * 0.95, belly * 0.83),
        ellipsoid("body", head, head * 0.95, head * 0.95).at(0, y, z),
        ellipsoid("light", 0.15, 0.1, 0.09).at(0, y - 0.1, z + head * 0.82),
        ellipsoid("pink", 0.055, 0.045, 0.045).at(0, y - 0.03, z + head * 0.82 + 0.085),
        box("light", 0.1, 0.1, 0.05).at(0, y - 0.21, z + head * 0.85),
        *both(ellipsoid("dark", 0.06, 0.085, 0.05).at(0.13, y + 0.08, z + head * 0.82)),
        *both(ellipsoid("light", 0.02, 0.03, 0.03).at(0.145, y + 0.11, z + head * 0.82 + 0.04)),
        *both(ellipsoid("accent", 0.12, 0.09, 0.24).at(0.2, 0.09, belly * 0.85)),
        *both(limb("body", (0.2, belly * 1.35, 0.22), (0.13, belly * 0.95, 0.36), 0.09, 0.08)),
        ellipsoid("light", 0.17, 0.17, 0.15).at(0, belly * 0.6, -belly - 0.15),
    ]
    upright = [
        ellipsoid("body", 0.11, ear / 2, 0.075).at(0, ear / 2, 0),
        ellipsoid("pink", 0.065, ear * 0.38, 0.035).at(0, ear / 2, 0.055),
    ]
    for part in upright:
        parts += both(part.turned(z=-tilt).at(0.1, y + head * 0.7, z - 0.04))
    return parts


def elephant(rng: np.random.Generator) -> list[Part]:
    """A barrel on four pillars; a trunk and white tusks in front, ears like plates."""
    girth, length = rng.uniform(0.38, 0.44), rng.uniform(0.2, 0.36)
    leg, ear = rng.uniform(0.28, 0.38), rng.uniform(0.28, 0.36)
    spine = leg + girth * 0.75
    y, z, head = spine + 0.24, length / 2 + girth * 0.85, 0.3
    parts = [limb("body", (0, spine, -length / 2), (0, spine, length / 2), girth, girth * 0.95)]
    for end in (-length / 2 - 0.02, length / 2 + 0.05):
        parts += both(limb("body", (0.22, spine, end), (0.23, 0.16, end), 0.17, 0.155))
        parts += both(ellipsoid("light", 0.1, 0.05, 0.05).at(0.23, 0.07, end + 0.135))
    reach = rng.uniform(0.3, 0.42)
    trunk = [(0, y - 0.08, z + 0.2), (0, y - 0.32, z + reach), (0, 0.3, z + reach + 0.02)]
    trunk.append((0, 0.16, z + reach + 0.16))
    parts += [
        ellipsoid("body", head, head, head * 0.9).at(0, y, z),
        *chain("body", [(float(a), float(b), float(c)) for a, b, c in trunk], 0.16, 0.1),
        *both(
            ellipsoid("accent", ear, ear * 1.15, 0.06)
            .turned(y=22)
            .at(head * 0.75 + ear * 0.72, y + 0.02, z - 0.14)
        ),
        *both(limb("light", (0.16, y - 0.18, z + 0.16), (0.2, y - 0.3, z + 0.46), 0.075, 0.05)),
        *both(ellipsoid("light", 0.085, 0.095, 0.05).at(0.15, y + 0.08, z + 0.235)),
        *both(ellipsoid("dark", 0.055, 0.065, 0.05).at(0.15, y + 0.08, z + 0.26)),
        limb(
            "body",
            (0, spine + 0.1, -length / 2 - girth),
            (0, spine - 0.28, -length / 2 - 0.52),
            0.06,
        ),
        ellipsoid("dark", 0.08, 0.11, 0.08).at(0, spine - 0.34, -length / 2 - 0.52),
    ]
    return parts


def bird(rng: np.random.Generator) -> list[Part]:
    """A plump bird: orange beak and legs, a pale breast, wings aside, a fan of a tail."""
    belly, head = rng.uniform(0.3, 0.38), rng.uniform(0.24, 0.29)
    leg, beak = rng.uniform(0.18, 0.3), rng.uniform(0.26, 0.38)
    tail, wing = rng.uniform(0.4, 0.6), rng.uniform(0.3, 0.42)
    middle = leg + belly
    y, z = middle + belly * 0.85 + head * 0.35, belly * 0.55
    fan = [(-0.08, 0.0), (0.08, 0.0), (0.24, tail), (-0.24, tail)]
    parts = [
        ellipsoid("body", belly, belly, belly * 1.3).turned(x=-18).at(0, middle, 0),
        ellipsoid("light", belly * 0.7, belly * 0.72, 0.2).turned(x=8).at(0, middle, belly * 0.87),
        ellipsoid("body", head, head, head).at(0, y, z),
        cone("beak", 0.13, beak, 10).turned(x=90).at(0, y - 0.04, z + head * 0.85 + beak / 2),
        *both(ellipsoid("light", 0.06, 0.1, 0.1).turned(y=-38).at(0.145, y + 0.07, z + head * 0.7)),
        *both(
            ellipsoid("dark", 0.05, 0.065, 0.065).turned(y=-38).at(0.17, y + 0.07, z + head * 0.76)
        ),
        *both(ellipsoid("accent", 0.07, 0.2, wing).turned(x=-24).at(belly, middle + 0.05, -0.08)),
        prism("accent", fan, 0.1).turned(x=-68).at(0, middle + 0.05, -belly * 0.95),
    ]
    parts += both(limb("beak", (0.13, middle - 0.1, 0), (0.13, 0.04, 0), 0.055))
    parts += both(ellipsoid("beak", 0.1, 0.045, 0.15).at(0.13, 0.04, 0.08))
    return parts


def fish(rng: np.random.Generator) -> list[Part]:
    """A chubby goldfish: bulging eyes and thick lips in front, a wide tail fin behind."""
    length, height = rng.uniform(0.55, 0.75), rng.uniform(0.38, 0.5)
    width, tail = rng.uniform(0.27, 0.34), rng.uniform(0.4, 0.55)
    fork = [(0.0, 0.07), (0.0, -0.07), (tail, -0.42), (tail * 0.72, 0.0), (tail, 0.42)]
    crest = [(0.36, 0.0), (-0.4, 0.0), (-0.34, rng.uniform(0.24, 0.34)), (0.1, 0.2)][::-1]
    keel = [(0.15, 0.0), (-0.2, 0.0), (-0.28, -0.22), (-0.05, -0.16)]
    flipper = rng.uniform(0.26, 0.36)
    return [
        ellipsoid("body", width, height, length),
        prism("accent", fork, 0.15).turned(y=90).at(0, 0, -length * 0.88),
        prism("accent", crest, 0.14).turned(y=-90).at(0, height * 0.9, -0.02),
        prism("accent", keel, 0.1).turned(y=-90).at(0, -height * 0.9, -0.02),
        *both(
            ellipsoid("accent", flipper * 0.6, 0.06, flipper * 0.42)
            .turned(z=-24)
            .at(width + flipper * 0.35, -0.12, 0.1)
        ),
        *both(ellipsoid("light", 0.13, 0.15, 0.15).at(width * 0.62, 0.14, length * 0.66)),
        *both(
            ellipsoid("dark", 0.085, 0.095, 0.095).at(
                width * 0.62 + 0.035, 0.14, length * 0.66 + 0.08
            )
        ),
        ellipsoid("pink", 0.15, 0.06, 0.08).at(0, -0.07, length * 0.97),
        ellipsoid("pink", 0.13, 0.05, 0.08).at(0, -0.16, length * 0.93),
    ]
