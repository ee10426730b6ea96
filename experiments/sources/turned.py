"""The shape F-score whichever way an object faces: a bus that was taken for its side is a bus."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import KDTree

from experiments.paper.shape import THRESHOLD, Points, shape_f_score

_COARSE_DEG = np.arange(0.0, 360.0, 10.0)
_FINE_DEG = (-5.0, -2.5, 2.5, 5.0)
_FEW = 400  # points by which turns are told apart


def turned(points: Points, yaw_deg: float) -> Points:
    """Points turned about +Y."""
    angle = np.radians(yaw_deg)
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
    return np.asarray(points @ turn.T, dtype=points.dtype)


def best_turn(points: Points, truths: Sequence[Points]) -> float:
    """The turn about +Y, in degrees, that brings most points near to one of the truths."""
    few = points[:: max(1, len(points) // _FEW)]
    trees = [KDTree(truth) for truth in truths]

    def near(yaw_deg: float) -> float:
        seen = turned(few, yaw_deg)
        return max(float((tree.query(seen)[0] <= THRESHOLD).mean()) for tree in trees)

    coarse = max(map(float, _COARSE_DEG), key=near)
    return max([coarse, *(coarse + each for each in _FINE_DEG)], key=near)


def shape_f_score_of_any_turn(points: Points, truths: Sequence[Points]) -> float:
    """The F-score of :func:`~experiments.paper.shape.shape_f_score` after the best turn.

    Assets of generators and libraries face anywhere, and are sometimes turned to their sides, which
    a quarter turn does not undo.

    Args:
        points: What is judged; none score 0.
        truths: Individuals.
        truths: Individuals.
    """
    if len(points) == 0:
        return 0.0
    return shape_f_score(turned(points, best_turn(points, truths)), truths)
