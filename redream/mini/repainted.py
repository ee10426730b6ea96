"""Known ways for a pattern to be wrong, made on purpose: the truth for metrics of patterns."""

from dataclasses import replace

import numpy as np

from redream.mini.materials import Floats, Material
from redream.mini.scene import Coat, Scene


def with_one_sided_pattern(scene: Scene) -> Scene:
    """The front half keeps its pattern, the back half wears the coat's mean colour.

    Args:
        scene: With a coat.
    """
    coat, mean = _coat_of(scene), _mean_colour(scene)
    painted = coat.material

    def paint(position: Floats, normal: Floats, primary: Floats, secondary: Floats) -> Floats:
        is_front = (position - coat.phase)[:, 2:] > 0
        return np.where(is_front, painted.paint(position, normal, primary, secondary), mean)

    return _repainted(scene, replace(painted, paint=paint))


def with_mean_colour(scene: Scene) -> Scene:
    """The coat's mean colour everywhere: what is left of a pattern that was averaged away.

    Args:
        scene: With a coat.
    """
    mean = _mean_colour(scene)

    def paint(position: Floats, normal: Floats, primary: Floats, secondary: Floats) -> Floats:
        return np.broadcast_to(mean, position.shape)

    return _repainted(scene, replace(_coat_of(scene).material, paint=paint))


def _repainted(scene: Scene, material: Material) -> Scene:
    return replace(scene, coat=replace(_coat_of(scene), material=material))


def _mean_colour(scene: Scene) -> Floats:
    coat = _coat_of(scene)
    painted = coat.material.paint(
        scene.vertices + coat.phase, scene.normals, coat.primary, coat.secondary
    )
    mean: Floats = painted.mean(axis=0)
    return mean


def _coat_of(scene: Scene) -> Coat:
    if scene.coat is None:
        raise ValueError(f"this {scene.category} wears no coat, so it has no pattern to change")
    return scene.coat
