"""Makes a closed surface two-manifold again, where collapsed edges left it touching itself."""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from redream.kernels.outlines import find_edges

_MAX_ROUNDS = 8  # of cutting triangles; two are enough as a rule
_NUDGE = 1e-3  # of the way to its own triangles' centres, by which vertices at one place part


def mend(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]
) -> tuple[Float[Tensor, "W 3"], Int[Tensor, "G 3"], Int[Tensor, " W"]]:
    """Takes apart what touches at an edge or a vertex, so that an edge has two triangles.

    Triangles on the same three corners cancel out in pairs. At an edge of four or more triangles,
    those are joined that bound the same wedge of the inside; each wedge then gets vertices of its
    own, or a vertex in the middle of the edge, moved a little into it. Edges of one triangle stay.

    Args:
        vertices: Positions, on the CPU.
        faces: Corner indices, counter-clockwise seen from outside.

    Returns:
        Vertices and faces, the same where the surface is two-manifold; and for each vertex the
        given one that it was, where numbers from ``V`` on are of vertices that were set in the
        middle of an edge.
    """
    points, corners = vertices.double().numpy(), without_pairs(faces).numpy()
    for _ in range(_MAX_ROUNDS):
        matched, is_wedge = _match(points, corners)
        label = _glue(corners, matched)
        stuck = _stuck(corners, label, matched[is_wedge])
        if len(stuck) == 0:
            break
        points, corners = _split(points, corners, stuck)
    num = int(label.max()) + 1 if len(label) else 0
    origin = np.empty(num, dtype=np.int64)
    origin[label] = corners.reshape(-1)
    moved = points[origin]
    shared = np.bincount(origin, minlength=len(points))[origin] > 1
    summed = np.zeros_like(moved)
    np.add.at(summed, label, np.repeat(points[corners].mean(1), 3, axis=0))
    middle = summed / np.bincount(label, minlength=num)[:, None]
    moved[shared] += _NUDGE * (middle - moved)[shared]
    mended, joined = torch.from_numpy(moved.astype(np.float32)), torch.from_numpy(label)
    return mended, joined.reshape(-1, 3), torch.from_numpy(origin)


def _match(points: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of sides that are one edge, and which of them an edge has more than one of.

    Side ``s`` of triangle ``f`` runs from its corner ``s`` to the next and has the number
    ``s * num_faces + f``.
    """
    side_edge = find_edges(torch.from_numpy(corners)).edge.numpy()
    order = np.argsort(side_edge, kind="stable")
    num_sides = np.bincount(side_edge)
    starts = np.cumsum(num_sides) - num_sides
    plain = starts[num_sides == 2]
    simple = np.stack([order[plain], order[plain + 1]], axis=1)
    wedges = [
        _wedges(points, corners, order[starts[edge] : starts[edge] + num_sides[edge]])
        for edge in (num_sides > 2).nonzero()[0]
    ]
    matched = np.concatenate([simple, *wedges])
    return matched, np.arange(len(matched)) >= len(simple)


def _ends(corners: np.ndarray, sides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places in ``corners.reshape(-1)`` of sides' ends, that of the lower vertex first."""
    f, s = sides % len(corners), sides // len(corners)
    start, end = 3 * f + s, 3 * f + (s + 1) % 3
    flat = corners.reshape(-1)
    forward = flat[start] < flat[end]
    return np.where(forward, start, end), np.where(forward, end, start)


def _glue(corners: np.ndarray, matched: np.ndarray) -> np.ndarray:
    """The number of each corner's vertex, ``3 F``, where only matched sides are joined."""
    rows, columns = (np.concatenate(_ends(corners, matched[:, i])) for i in range(2))
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), [corners.size] * 2)
    _, label = connected_components(graph, directed=False)
    return np.asarray(label, dtype=np.int64)


def _stuck(corners: np.ndarray, label: np.ndarray, wedges: np.ndarray) -> np.ndarray:
    """The wedges, no two of one triangle, whose edge has both its vertices in common with others'.

    One wedge of each such edge may stay as it is.
    """
    seen: set[tuple[int, int]] = set()
    taken: set[int] = set()
    stuck = []
    for wedge in wedges:
        low, high = (int(label[end]) for end in _ends(corners, wedge[0]))
        triangles = {int(side) % len(corners) for side in wedge}
        if (low, high) not in seen:
            seen.add((low, high))
        elif not taken & triangles:
            taken |= triangles
            stuck.append(wedge)
    return np.array(stuck, dtype=np.int64).reshape(-1, 2)


def _split(
    points: np.ndarray, corners: np.ndarray, wedges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts both triangles of each wedge in two by a vertex of its own in the edge's middle."""
    f, s = wedges % len(corners), wedges // len(corners)
    start, end, apex = (corners[f, (s + i) % 3] for i in range(3))
    middle = (points[start[:, 0]] + points[end[:, 0]]) / 2.0
    middle += _NUDGE * (points[apex].mean(1) - middle)
    new = np.broadcast_to(len(points) + np.arange(len(wedges))[:, None], start.shape)
    halves = [np.stack(half, -1).reshape(-1, 3) for half in ((start, new, apex), (new, end, apex))]
    kept = np.delete(corners, f.reshape(-1), axis=0)
    return np.concatenate([points, middle]), np.concatenate([kept, *halves])


def without_pairs(faces: Int[Tensor, "F 3"]) -> Int[Tensor, "F 3"]:
    """Of the triangles on the same corners, one where they are odd in number, else none."""
    _, group, num = torch.unique(
        faces.sort(1).values, dim=0, return_inverse=True, return_counts=True
    )
    first = torch.full_like(num, len(faces)).scatter_reduce(
        0, group, torch.arange(len(faces)), "amin"
    )
    return faces[first[num % 2 == 1].sort().values]


def _wedges(points: np.ndarray, corners: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Pairs the triangles around an edge that bound the same wedge of the inside.

    Returns:
        ``P 2`` sides; those that find no partner are left out.
    """
    f, s = sides % len(corners), sides // len(corners)
    start, end, apex = (corners[f, (s + i) % 3] for i in range(3))
    forward = start < end
    low, high = points[np.minimum(start, end)[0]], points[np.maximum(start, end)[0]]
    axis = (high - low) / max(float(np.linalg.norm(high - low)), 1e-30)
    out = points[apex] - low
    across = out - (out @ axis)[:, None] * axis
    reference = across[0] / max(float(np.linalg.norm(across[0])), 1e-30)
    angle = np.arctan2(across @ np.cross(axis, reference), across @ reference)
    around = np.argsort(angle)
    # Looking along the edge, the inside lies clockwise of a triangle that runs forward.
    found = []
    for i in range(len(around)):
        here, before = around[i], around[i - 1]
        if forward[here] and not forward[before]:
            found.append((sides[before], sides[here]))
    return np.array(found, dtype=np.int64).reshape(-1, 2)
