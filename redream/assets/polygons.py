"""Polygons cut into triangles, as OBJ and PLY files have them."""

import numpy as np

_MAX_CLIPPED = 2000  # corners; what has more, and is not convex, is cut as a fan


def triangulate(
    corners: np.ndarray, counts: np.ndarray, vertices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts polygons into triangles: convex ones as fans, others by clipping ears.

    Args:
        corners: Indices into the vertices, polygon after polygon.
        counts: How many corners each polygon has; those of fewer than three are left out.
        vertices: ``V 3``.

    Returns:
        For each triangle its three places in ``corners``, ``F 3``, and its polygon, ``F``; in the
        polygons' order.
    """
    starts = np.cumsum(counts) - counts
    pieces, owners = [np.zeros((0, 3), dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for num in np.unique(counts[counts >= 3]).tolist():
        chosen = np.nonzero(counts == num)[0]
        places = starts[chosen, None] + np.arange(num)
        cut = np.repeat(_fan(num)[None], len(chosen), axis=0)
        if num > 3:
            _cut_anew(cut, vertices[corners[places]])
        triangles = np.take_along_axis(places, cut.reshape(len(chosen), -1), axis=1)
        pieces.append(triangles.reshape(-1, 3))
        owners.append(np.repeat(chosen, num - 2))
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return np.concatenate(pieces)[order], owner[order]


def _fan(num: int) -> np.ndarray:
    first = np.arange(1, num - 1)
    return np.stack([np.zeros_like(first), first, first + 1], axis=1)


def _cut_anew(cut: np.ndarray, points: np.ndarray) -> None:
    """Writes a better cut for each polygon of which a fan has triangles that are turned over."""
    points = points - points[:, :1]
    with np.errstate(invalid="ignore", over="ignore"):
        crosses = np.cross(points[:, 1:-1], points[:, 2:])  # of the fan's triangles
        normals = crosses.sum(axis=1)
        turned = (np.einsum("pfk,pk->pf", crosses, normals) < 0.0).any(axis=1)
    for number in np.nonzero(turned)[0].tolist():
        if points.shape[1] <= _MAX_CLIPPED:
            cut[number] = _clip_ears(points[number], normals[number])


def _clip_ears(points: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """A simple polygon's triangles, from one that lies about in the plane of a normal."""
    axis = int(np.abs(normal).argmax())
    first, second = ((1, 2), (2, 0), (0, 1))[axis]
    x, y = points[:, first], points[:, second]
    if normal[axis] < 0.0:
        x, y = y, x
    left, triangles = list(range(len(points))), []
    while len(left) > 3:
        for place in range(len(left)):
            a, b, c = left[place - 1], left[place], left[(place + 1) % len(left)]
            others = np.array([each for each in left if each not in (a, b, c)])
            if _side(x, y, a, b, c) > 0.0 and not _any_within(x, y, a, b, c, others):
                break
        else:
            place = 1  # it crosses itself: any cut is as good
            a, b, c = left[0], left[1], left[2]
        triangles.append((a, b, c))
        del left[place]
    triangles.append((left[0], left[1], left[2]))
    return np.array(triangles)


def _side(x: np.ndarray, y: np.ndarray, a: int, b: int, c: np.ndarray | int) -> np.ndarray:
    """Positive where c lies to the left of the way from a to b."""
    turned: np.ndarray = (x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a])
    return turned


def _any_within(x: np.ndarray, y: np.ndarray, a: int, b: int, c: int, points: np.ndarray) -> bool:
    inside = (
        (_side(x, y, a, b, points) >= 0.0)
        & (_side(x, y, b, c, points) >= 0.0)
        & (_side(x, y, c, a, points) >= 0.0)
    )
    return bool(inside.any())
