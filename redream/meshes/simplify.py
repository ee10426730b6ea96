"""Fewer triangles: quadric edge collapse by fast-simplification, before textures are baked."""

import fast_simplification
import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from redream.meshes.isosurface import components_of, with_used_vertices
from redream.meshes.manifold import mend, without_pairs

_MIN_SHARE = 0.005  # of the faces of the part it was of; what pinches off is smaller
_LEAST_REACH = 0.9  # of a part's largest extent; of less it was eaten
_MAX_ROUNDS = 4

Parts = NDArray[np.int64]
"""Which connected part of the given surface each vertex is of; -1 where it is new."""


def simplify(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], num_faces: int
) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """Collapses edges until few triangles are left (Garland and Heckbert, 1997).

    Collapsing may leave a surface that touches itself; it is mended, so that what was watertight
    stays so, and splinters that pinch off are dropped. Every part of the surface stays, however
    small: the border of a flat leaf holds nothing against collapsing, so parts that are eaten stay
    as they were, as long as they have half of the faces at most. Of triangles on the same three
    corners, such as both sides of a leaf, one stays: what is exported is seen from both sides.

    Args:
        vertices: Positions, on the CPU.
        faces: Corner indices, counter-clockwise seen from outside.
        num_faces: How many triangles to keep; where there are no more, nothing changes.

    Returns:
        Vertices and faces. More faces than asked for are left only where none can be collapsed
        without turning another over.
    """
    if len(faces) <= num_faces:
        return vertices, faces
    faces = _once(faces)
    if len(faces) <= num_faces:
        return vertices, faces
    part = components_of(faces, len(vertices))
    found = _simplified(vertices, faces, part, num_faces)
    excess = len(found[1]) - num_faces  # mending cuts a few triangles in two
    if 0 < excess < num_faces // 2:
        return _simplified(vertices, faces, part, num_faces - 2 * excess)
    return found


def _once(faces: Int[Tensor, "F 3"]) -> Int[Tensor, "F 3"]:
    """The first of the triangles on the same corners."""
    _, first = np.unique(np.sort(faces.numpy(), axis=1), axis=0, return_index=True)
    return faces[torch.from_numpy(np.sort(first))]


def _simplified(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], part: Parts, num_faces: int
) -> tuple[Float[Tensor, "W 3"], Int[Tensor, "G 3"]]:
    """Collapses all parts but those that this would eat, and mends the whole.

    Those stay, the smallest first and up to half of the faces.
    """
    part_of_face = part[faces[:, 0].numpy()]
    sizes = np.bincount(part_of_face, minlength=part.max() + 1)
    reach, stays = _reach(vertices, faces, part, len(sizes)), np.zeros(len(sizes), dtype=bool)
    for _ in range(_MAX_ROUNDS):
        is_kept, num_kept = torch.from_numpy(stays[part_of_face]), int(sizes[stays].sum())
        found = _collapsed(vertices, faces[~is_kept], part, num_faces - num_kept)
        eaten = _reach(*found, len(sizes)) < _LEAST_REACH * reach
        candidates = np.flatnonzero(eaten & ~stays)
        candidates = candidates[np.argsort(sizes[candidates], kind="stable")]
        fits = np.cumsum(sizes[candidates]) <= num_faces // 2 - num_kept
        if not fits.any():
            break
        stays[candidates[fits]] = True
    points, corners, part_there = found
    corners = torch.cat([corners, faces[is_kept] + len(points)])
    points, part_there = torch.cat([points, vertices]), np.concatenate([part_there, part])
    mended, joined, origin = mend(points, corners)
    part_there = np.append(part_there, -1)[np.minimum(origin.numpy(), len(part_there))]
    return _without_splinters(mended, joined, part_there)


def _reach(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], part: Parts, num: int
) -> NDArray[np.float64]:
    """The largest extent of each part that has faces; 0 of others."""
    used = np.unique(faces.numpy())
    low, high = np.full((num, 3), np.inf), np.full((num, 3), -np.inf)
    np.minimum.at(low, part[used], vertices.numpy()[used])
    np.maximum.at(high, part[used], vertices.numpy()[used])
    reach: NDArray[np.float64] = np.maximum(high - low, 0.0).max(axis=1)
    return reach


def _collapsed(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], part: Parts, num_faces: int
) -> tuple[Float[Tensor, "W 3"], Int[Tensor, "G 3"], Parts]:
    """Vertices, faces, and the part of each vertex."""
    if len(faces) <= num_faces:
        return vertices, faces, part
    before, triangles = vertices.numpy(), faces.numpy().astype(np.int32)
    _, _, collapses = fast_simplification.simplify(
        before, triangles, target_count=num_faces, return_collapses=True
    )  # and again, for where each vertex has gone to
    points, corners, place = fast_simplification.replay_simplification(before, triangles, collapses)
    part_there = np.full(len(points), -1)
    np.maximum.at(part_there, place, part)
    a, b, c = corners.T
    corners = corners[(a != b) & (b != c) & (c != a)].astype(np.int64)
    left = without_pairs(torch.from_numpy(corners))  # of a part that was closed, nothing but both
    return torch.from_numpy(points.astype(np.float32)), left, part_there


def _without_splinters(
    vertices: Float[Tensor, "W 3"], faces: Int[Tensor, "G 3"], part: Parts
) -> tuple[Float[Tensor, "U 3"], Int[Tensor, "H 3"]]:
    """Drops what has come off a part of the surface and is much smaller."""
    piece = components_of(faces, len(vertices))
    part_of_piece = np.full(piece.max(initial=-1) + 1, -1)
    np.maximum.at(part_of_piece, piece, part)
    sizes = np.bincount(piece[faces[:, 0].numpy()], minlength=len(part_of_piece))
    total, largest = (np.zeros(part.max(initial=0) + 1, dtype=np.int64) for _ in range(2))
    np.add.at(total, part_of_piece, sizes)
    np.maximum.at(largest, part_of_piece, sizes)
    least = np.minimum(_MIN_SHARE * total, largest)[part_of_piece]
    is_large = (sizes >= least)[piece[faces[:, 0].numpy()]]
    return with_used_vertices(vertices, faces[torch.from_numpy(is_large)])
