"""The embedded world's own objects, measured as Table 1 measures particles.

What they score is what a method can be asked for: no measure is perfect on them.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from experiments.paper.shape import shape_of_scene
from redream.cameras import turntable
from redream.metrics import (
    ALPIPS,
    ClipDistance,
    ClipScore,
    ClipViewJudge,
    Metric,
    PatternScore,
    ViewBalance,
)
from redream.metrics.base import merge
from redream.mini.materials import COLOURS
from redream.mini.prepare import WEIGHTS, pair_captions
from redream.mini.scene import Camera, Scene, make_scene, render_scene
from redream.retrieval import Encoder

SIZE = 96
NUM_VIEWS = 120


def scene_of(prompt: str, seed: int) -> Scene:
    """A fresh individual of a prompt such as "a striped dog"."""
    _, material, category = prompt.split()
    rng = np.random.default_rng([40_000, seed])
    return make_scene(category, material, str(rng.choice(list(COLOURS))), rng)


def pictures_of(scene: Scene, num_views: int = NUM_VIEWS) -> Tensor:
    """The turntable that Table 1 measures, ``num_views 3 SIZE SIZE`` in [0, 1]."""
    views = [Camera(i * 360.0 / num_views) for i in range(num_views)]
    return torch.from_numpy(render_scene(scene, views, SIZE)).permute(0, 3, 1, 2) / 255.0


@lru_cache(maxsize=1)
def judges() -> tuple[ClipScore, ALPIPS, ViewBalance, PatternScore]:
    """The metrics of ``embedded/measure.yaml``."""
    clip = Encoder(str(WEIGHTS / "evaluation_clip"))
    return (
        ClipScore(clip, pair_captions(), num_views=None),
        ALPIPS(ClipDistance(clip, "embedded")),
        ViewBalance(ClipViewJudge(clip)),
        PatternScore(clip),
    )


def measure(metrics: Sequence[Metric], prompt: str, pictures: Tensor) -> dict[str, float]:
    """What metrics say of one turntable."""
    cameras = turntable(len(pictures))
    return merge([metric.measure(prompt, pictures, cameras) for metric in metrics])


def truth_of(prompt: str, seed: int) -> dict[str, float]:
    """Every measure of Table 1 of an object that is as it should be.

    Returns:
        Numbers by name; none where the prompt is not one of the world's, "a MATERIAL CATEGORY".
    """
    if prompt not in pair_captions():
        return {}
    scene = scene_of(prompt, seed)
    return {**measure(judges(), prompt, pictures_of(scene)), **shape_of_scene(scene)}
