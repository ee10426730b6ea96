"""Sets of views of the library's assets: what a multi-view network learns from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from redream.files import whole_file
from redream.mini.captions import CLAY_COLOURS, clay_caption
from redream.mini.library import Individual, make_clay_scene
from redream.mini.scene import Camera, render_scene, sample_background, sample_lighting

NUM_VIEWS = 4
ELEVATION_DEG = (0.0, 30.0)  # MVDream's
DISTANCE = (2.8, 3.2)  # the world's


@dataclass(frozen=True)
class ViewSets:
    """Views of single objects at equal steps of the circle.

    Attributes:
        pictures: ``S V 64 64 3`` uint8.
        poses: ``S V 4 4`` camera-to-world matrices, OpenGL, +Y up, the front at +Z.
        captions: One of each set, which names no view.
    """

    pictures: NDArray[np.uint8]
    poses: Float[Tensor, "S V 4 4"]
    captions: list[str]


def render_view_sets(
    library: Sequence[Individual], sets_each: int, seed: int = 0, num_views: int = NUM_VIEWS
) -> ViewSets:
    """Renders individuals of the library, unturned, each several times.

    The views of a set share elevation, distance, light and background.

    Args:
        library: The individuals.
        sets_each: Sets of each.
        seed: Of cameras, light, background and words.
        num_views: Views of a set.
    """
    pictures, poses, captions = [], [], []
    for number, individual in enumerate(library):
        shape = np.random.default_rng(individual.key)
        colour = str(shape.choice(list(CLAY_COLOURS)))  # as `library.make_asset` draws it
        scene = make_clay_scene(individual.category, colour, shape)
        for turn in range(sets_each):
            rng = np.random.default_rng([seed, number, turn])
            first = rng.uniform(-180, 180)
            elevation_deg, distance = rng.uniform(*ELEVATION_DEG), rng.uniform(*DISTANCE)
            cameras = [
                Camera(first + 360 * view / num_views, elevation_deg, distance)
                for view in range(num_views)
            ]
            lighting, background = sample_lighting(rng), sample_background(rng)
            pictures.append(render_scene(scene, cameras, lighting=lighting, background=background))
            poses.append(np.stack([camera.c2w for camera in cameras]))
            captions.append(clay_caption(individual.category, colour, None, rng))
    return ViewSets(np.stack(pictures), torch.tensor(np.stack(poses)).float(), captions)


def load_view_sets(path: Path, library: Sequence[Individual], sets_each: int) -> ViewSets:
    """Opens sets of views, rendering them first where they are missing.

    Args:
        path: The ``.npz`` file where they are kept.
        library: The individuals.
        sets_each: Sets of each.
    """
    if not path.is_file():
        made = render_view_sets(library, sets_each)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                pictures=made.pictures,
                poses=made.poses.numpy(),
                captions=np.array(made.captions),
            )
    kept = np.load(path)
    return ViewSets(kept["pictures"], torch.from_numpy(kept["poses"]), kept["captions"].tolist())
