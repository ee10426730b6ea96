"""The kinds of things in the embedded world.

Each category is a function from a random generator to parts; two calls give two individuals.
Fronted ones face +Z and look plainly different from behind.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from redream.mini.categories import animals, buildings, figures, food, furniture, nature, vehicles
from redream.mini.parts import Part

Build = Callable[[np.random.Generator], list[Part]]


@dataclass(frozen=True)
class Category:
    """A kind of thing.

    Attributes:
        name: One lowercase word.
        build: Makes an individual, in arbitrary units.
        has_front: Whether its front (+Z) differs from its other sides.
    """

    name: str
    build: Build
    has_front: bool


_FRONTED: tuple[Build, ...] = (
    animals.dog,
    animals.cat,
    animals.rabbit,
    animals.elephant,
    animals.bird,
    animals.fish,
    figures.robot,
    figures.snowman,
    figures.knight,
    vehicles.car,
    vehicles.bus,
    buildings.house,
    furniture.chair,
    furniture.television,
)
_ROUND: tuple[Build, ...] = (
    vehicles.rocket,
    furniture.table,
    furniture.lamp,
    furniture.vase,
    furniture.barrel,
    nature.tree,
    nature.cactus,
    nature.mushroom,
    food.burger,
    food.cake,
)

CATEGORIES: dict[str, Category] = {
    build.__name__: Category(build.__name__, build, has_front)
    for builds, has_front in ((_FRONTED, True), (_ROUND, False))
    for build in builds
}
