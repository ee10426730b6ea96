"""The embedded world's own generator: makes what a prompt names, as wrongly as it is told to."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from redream.mini.captions import CLAY_COLOURS, words
from redream.mini.categories import CATEGORIES
from redream.mini.library import make_clay_scene, scene_to_glb
from redream.mini.scene import Scene
from redream.sources import Generator

_NUM_WAVES = 12
_WAVES_PER_UNIT = (1.0, 4.0)  # radians: dents and bulges of a third of the object and more


class EmbeddedGenerator(Generator):
    """Makes individuals that the library does not have, by its own recipe, turned anyhow.

    A real generator errs. ``noise`` stands in for that: a smooth random field that dents, bulges
    and bends the shape, another one for each seed.

    Args:
        noise: How far points move, root mean square, of a shape whose farthest point is at 0.9.

    Raises:
        ValueError: If it is negative.
    """

    license = "cc0"

    def __init__(self, noise: float = 0.0) -> None:
        if noise < 0.0:
            raise ValueError(f"noise is {noise}, and must not be negative")
        self.noise = noise

    @property
    def author(self) -> str:  # type: ignore[override]
        """Its name and how wrong it is."""
        return f"EmbeddedGenerator (noise {self.noise:g})"

    def key(self) -> dict[str, object]:
        """The noise."""
        return {"noise": self.noise, "version": 1}

    def generate(self, prompt: str, seed: int, path: Path, picture: Path | None = None) -> None:
        """Makes one mesh; see :meth:`Generator.generate`."""
        named = [word for word in words(prompt) if word in CATEGORIES]
        if not named:
            raise ValueError(f"the embedded world knows nothing that {prompt!r} names")
        key = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8], "big")
        rng = np.random.default_rng([key, seed])
        scene = make_clay_scene(named[-1], str(rng.choice(list(CLAY_COLOURS))), rng)
        yaw_deg = float(rng.uniform(0.0, 360.0))
        extras = {"author": self.author, "license": self.license, "title": prompt}
        path.write_bytes(scene_to_glb(distorted(scene, self.noise, rng), yaw_deg, extras))


def distorted(scene: Scene, noise: float, rng: np.random.Generator) -> Scene:
    """A scene whose points a smooth random field has moved.

    Args:
        scene: The scene.
        noise: Root mean square of the displacement.
        rng: Draws the field: a sum of plane waves.
    """
    waves = rng.normal(size=(_NUM_WAVES, 3))
    waves *= rng.uniform(*_WAVES_PER_UNIT, (_NUM_WAVES, 1)) / np.linalg.norm(waves, axis=1)[:, None]
    phases = rng.uniform(0.0, 2.0 * np.pi, _NUM_WAVES)
    directions = rng.normal(size=(_NUM_WAVES, 3))
    moved = np.sin(scene.vertices @ waves.T + phases) @ directions
    scale = np.sqrt(np.square(moved).sum(1).mean())
    return replace(scene, vertices=scene.vertices + moved * (noise / scale))
