"""Makes a closed surface two-manifold again, where collapsed edges left it touching itself."""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from redream.kernels.outlines import find_edges

_NUDGE = 1e-3  # of the way to its own triangles' centres, by which vertices at one place part


def mend(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]
) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """Takes apart what touches at an edge or a vertex, so that an edge has two triangles.

    Triangles on the same three corners cancel out in pairs. At an edge of four or more triangles,
    those are joined that bound the same wedge of the inside; each then gets vertices of its own,
    moved a little toward its own side. Edges of one triangle stay as they are.

    Args:
        vertices: Positions, on the CPU.
        faces: Corner indices, counter-clockwise seen from outside.

    Returns:
        Vertices and faces; the same where the surface is two-manifold.
    """
    faces = _without_pairs(faces)
    edges = find_edges(faces)
    points, corners = vertices.double().numpy(), faces.numpy()
    num_faces, side_edge = len(corners), edges.edge.numpy()
    order = np.argsort(side_edge, kind="stable")
    starts = np.searchsorted(side_edge[order], np.arange(len(edges.corners) + 1))
    num_sides = np.diff(starts)
    pairs = [order[starts[:-1][num_sides == 2]], order[starts[:-1][num_sides == 2] + 1]]
    matched = [np.stack(pairs, axis=1)]
    for edge in (num_sides > 2).nonzero()[0]:
        sides = order[starts[edge] : starts[edge + 1]]
        matched.append(_wedges(points, corners, sides))
    first, second = np.concatenate(matched).T
    # Side s of triangle f runs from corner s to corner s + 1; sides are numbered s * num_faces + f.
    joined = []
    for side, other in ((first, second), (second, first)):
        f, s = side % num_faces, side // num_faces
        g, t = other % num_faces, other // num_faces
        same_way = corners[f, s] == corners[g, t]
        joined.append((3 * f + s, 3 * g + np.where(same_way, t, (t + 1) % 3)))
    rows, columns = np.concatenate(joined, axis=1)
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), [3 * num_faces] * 2)
    num, label = connected_components(graph, directed=False)
    origin = np.empty(num, dtype=np.int64)
    origin[label] = corners.reshape(-1)
    moved = points[origin]
    shared = np.bincount(origin, minlength=len(points))[origin] > 1
    centres = np.repeat(points[corners].mean(1), 3, axis=0)
    summed = np.zeros_like(moved)
    np.add.at(summed, label, centres)
    middle = summed / np.bincount(label, minlength=num)[:, None]
    moved[shared] += _NUDGE * (middle - moved)[shared]
    return torch.from_numpy(moved.astype(np.float32)), torch.from_numpy(
        label.reshape(-1, 3).astype(np.int64)
    )


def _without_pairs(faces: Int[Tensor, "F 3"]) -> Int[Tensor, "F 3"]:
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
