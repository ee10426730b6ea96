"""Shape against truth: whether a model is an individual that the embedded world could have made.

The world makes no two dogs alike, so a model is compared with several and counts as like the
nearest, turned by the quarter turn that suits it best: which way it faces is counted elsewhere.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from redream.assets import load_mesh
from redream.cameras import orbit, rays
from redream.kernels.raycast import RayCaster
from redream.metrics.geometry import agreement
from redream.mini.categories import CATEGORIES
from redream.mini.scene import Scene, make_scene

NUM_INDIVIDUALS = 12
THRESHOLD = 0.05  # of a model whose farthest point is at 0.9
NUM_POINTS = 5000
_QUARTER_TURN = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])

Points = NDArray[np.float32]


def visible_points(vertices: Tensor, faces: Tensor) -> Points:
    """Points of a surface that can be seen from around it, what is inside left out.

    Args:
        vertices: ``V 3`` positions within the unit ball.
        faces: ``F 3`` corner indices; none give no point.

    Returns:
        ``N 3`` positions, ``NUM_POINTS`` at most.
    """
    azimuths = torch.arange(8) * 45.0
    elevations = torch.tensor([-35.0, 10.0, 55.0])
    grid = torch.cartesian_prod(azimuths, elevations)
    num = len(grid)
    azimuths, elevations = grid.T
    cameras = orbit(azimuths, elevations, torch.full((num,), 3.0), torch.full((num,), 40.0))
    origins, directions = (part.reshape(-1, 3) for part in rays(cameras, 48, 48))
    hits = RayCaster(vertices, faces).cast(origins, directions)
    seen = hits.face >= 0
    points = origins[seen] + hits.depth[seen, None] * directions[seen]
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    return points[order[:NUM_POINTS]].numpy()


def points_of_scene(scene: Scene) -> Points:
    """The visible points of one of the embedded world's scenes."""
    return visible_points(torch.from_numpy(scene.vertices), torch.from_numpy(scene.faces))


@cache
def individuals(category: str) -> Sequence[Points]:
    """Visible points of individuals of a category, the same at each call."""
    return [
        points_of_scene(
            make_scene(category, "golden", "red", np.random.default_rng([50_000, seed]))
        )
        for seed in range(NUM_INDIVIDUALS)
    ]


def shape_f_score(points: Points, truths: Sequence[Points]) -> float:
    """F-score against the individual that is most alike (Knapitsch et al., 2017).

    Args:
        points: What is judged; none score 0.
        truths: Individuals.

    Returns:
        Harmonic mean of the shares of points that are within ``THRESHOLD`` of the other surface.
    """
    if len(points) == 0:
        return 0.0
    best = 0.0
    trees = [KDTree(truth) for truth in truths]
    for _ in range(4):
        points = points @ _QUARTER_TURN.T.astype(points.dtype)
        tree = KDTree(points)
        for truth, truth_tree in zip(truths, trees, strict=True):
            to_truth, to_points = truth_tree.query(points)[0], tree.query(truth)[0]
            both = agreement(torch.from_numpy(to_truth), torch.from_numpy(to_points), THRESHOLD)
            best = max(best, both.f_score)
    return best


def shape_of_scene(scene: Scene) -> dict[str, float]:
    """Measures a scene: ``shape_f_score`` by its name."""
    return {"shape_f_score": shape_f_score(points_of_scene(scene), individuals(scene.category))}


def shape_of_model(prompt: str, model: Path) -> dict[str, float]:
    """Measures a model file; a run that found no surface has left none, and scores 0.

    Args:
        prompt: What it should be, such as "a striped dog".
        model: A GLB file, or the place of one.

    Returns:
        ``shape_f_score`` by its name; nothing where the world has no such category.
    """
    category = prompt.split()[-1]
    if category not in CATEGORIES:
        return {}
    if not model.is_file():
        return {"shape_f_score": 0.0}
    mesh = load_mesh(model)
    points = visible_points(mesh.vertices, mesh.faces)
    return {"shape_f_score": shape_f_score(points, individuals(category))}
