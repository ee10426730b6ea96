"""Things for a room."""

import numpy as np

from redream.mini.parts import Part, both, box, cylinder, ellipsoid, lathe, limb, torus


def chair(rng: np.random.Generator) -> list[Part]:
    """A seat with a cushion before a tall back whose rear is plain."""
    width, depth = rng.uniform(0.56, 0.7), rng.uniform(0.54, 0.66)
    leg, back = rng.uniform(0.36, 0.5), rng.uniform(0.6, 0.85)
    lean = rng.uniform(0.0, 0.12)
    seat = leg + 0.06
    parts = [
        box("body", width, 0.13, depth).at(0, seat, 0),
        box("body", width, back, 0.12, (1, 1, -lean)).at(0, seat + back / 2, -depth / 2 + 0.06),
        box("light", width * 0.78, 0.09, depth * 0.7).at(0, seat + 0.09, 0.05),
        box("light", width * 0.7, back * 0.55, 0.07, (1, 1, -lean * 0.6)).at(
            0, seat + back * 0.55, -depth / 2 + 0.13 - lean * 0.1
        ),
    ]
    for z in (-depth / 2 + 0.07, depth / 2 - 0.07):
        parts += both(box("accent", 0.12, leg, 0.12).at(width / 2 - 0.07, leg / 2, z))
    return parts


def television(rng: np.random.Generator) -> list[Part]:
    """An old set: a bright screen and knobs in front, a dark hump behind, two aerials."""
    width, height = rng.uniform(0.95, 1.2), rng.uniform(0.68, 0.82)
    depth, leg = rng.uniform(0.34, 0.46), rng.uniform(0.14, 0.24)
    aerial = rng.uniform(0.34, 0.5)
    y, front = leg + height / 2, depth / 2
    screen = width * 0.66
    return [
        box("body", width, height, depth).at(0, y, 0),
        box("dark", screen, height * 0.82, 0.05).at(-width * 0.11, y, front),
        box("glass", screen * 0.84, height * 0.64, 0.08).at(-width * 0.11, y, front),
        box("light", screen * 0.3, height * 0.12, 0.1).at(-width * 0.22, y + height * 0.18, front),
        cylinder("light", 0.09, 0.08, sides=12)
        .turned(x=90)
        .at(width * 0.37, y + height * 0.24, front),
        cylinder("light", 0.09, 0.08, sides=12).turned(x=90).at(width * 0.37, y - 0.02, front),
        box("dark", 0.2, 0.12, 0.06).at(width * 0.37, y - height * 0.3, front),
        box("dark", width * 0.8, height * 0.78, 0.3, (0.9, 1, 0)).at(0, y, -front - 0.12),
        box("dark", width * 0.45, height * 0.45, 0.16).at(0, y, -front - 0.3),
        *both(limb("dark", (0.05, leg + height, 0), (aerial, leg + height + aerial, 0), 0.045)),
        *both(ellipsoid("accent", 0.08, 0.08, 0.08).at(aerial, leg + height + aerial, 0)),
        *both(box("accent", 0.12, leg, depth * 0.7).at(width * 0.36, leg / 2, 0)),
    ]


def table(rng: np.random.Generator) -> list[Part]:
    """A thick top, round or square, on four legs."""
    radius, height = rng.uniform(0.5, 0.65), rng.uniform(0.5, 0.75)
    if rng.random() < 0.5:
        top, reach = cylinder("body", radius * 1.1, 0.14, sides=24), radius * 0.6
    else:
        top, reach = box("body", radius * 2, 0.14, radius * 2), radius * 0.8
    parts = [top.at(0, height, 0)]
    for z in (-reach, reach):
        parts += both(box("accent", 0.15, height, 0.15).at(reach, height / 2, z))
    return parts


def lamp(rng: np.random.Generator) -> list[Part]:
    """A wide shade over a glowing bulb, a stem and a round foot."""
    shade, drop = rng.uniform(0.4, 0.52), rng.uniform(0.4, 0.55)
    height, foot = rng.uniform(0.5, 0.75), rng.uniform(0.28, 0.36)
    neck = rng.uniform(0.35, 0.6)
    return [
        lathe("body", [(0, 0.04), (shade, 0), (shade * neck, drop), (0, drop)]).at(0, height, 0),
        ellipsoid("glow", 0.2, 0.14, 0.2).at(0, height + 0.02, 0),
        cylinder("accent", 0.075, height).at(0, height / 2, 0),
        ellipsoid("accent", 0.14, 0.12, 0.14).at(0, height * 0.35, 0),
        lathe("accent", [(0, 0), (foot, 0), (foot, 0.06), (0.1, 0.14), (0, 0.14)]),
    ]


def vase(rng: np.random.Generator) -> list[Part]:
    """A bellied pot with a narrow neck and a flaring mouth."""
    belly, neck = rng.uniform(0.34, 0.46), rng.uniform(0.13, 0.19)
    foot, mouth = rng.uniform(0.2, 0.28), rng.uniform(0.26, 0.36)
    height, waist = rng.uniform(1.05, 1.3), rng.uniform(0.32, 0.45)
    profile = [
        (0.0, 0.0),
        (foot, 0.0),
        (belly * 0.88, waist * 0.5),
        (belly, waist),
        (belly * 0.86, waist + 0.2),
        (neck * 1.3, waist + 0.42),
        (neck, height - 0.18),
        (mouth * 0.8, height - 0.04),
        (mouth, height),
        (mouth * 0.8, height),
    ]
    return [
        lathe("body", profile, 24),
        lathe("dark", [(mouth * 0.8, height - 0.001), (0.0, height - 0.06)]),
        torus("accent", neck + 0.02, 0.05).at(0, height - 0.22, 0),
        cylinder("accent", foot * 1.12, 0.09).at(0, 0.045, 0),
    ]


def barrel(rng: np.random.Generator) -> list[Part]:
    """A bulging cask bound by dark hoops."""
    height, radius = rng.uniform(0.95, 1.2), rng.uniform(0.42, 0.52)
    end = radius * rng.uniform(0.72, 0.82)
    third = radius * 0.95
    ring = [(0.0, 0.0), (end, 0.0), (third, height * 0.27), (radius, height / 2)]
    rest = [
        (third, height * 0.73),
        (end, height),
        (end * 0.84, height),
        (end * 0.84, height - 0.05),
    ]
    hoops = [
        cylinder("dark", r, 0.09).at(0, height * y, 0)
        for r, y in ((end + 0.035, 0.04), (end + 0.035, 0.96))
    ]
    bands = [cylinder("dark", third + 0.025, 0.09).at(0, height * y, 0) for y in (0.27, 0.73)]
    lid = cylinder("accent", end * 0.86, 0.06).at(0, height, 0)
    return [lathe("body", [*ring, *rest, (0.0, height - 0.05)]), *hoops, *bands, lid]
