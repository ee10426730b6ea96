"""Fewer triangles: quadric edge collapse by fast-simplification, before textures are baked."""

import fast_simplification
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.meshes.isosurface import keep_large_components
from redream.meshes.manifold import mend

_MIN_SHARE = 0.005  # of the faces; what pinches off is smaller


def simplify(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], num_faces: int
) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """Collapses edges until few triangles are left (Garland and Heckbert, 1997).

    Collapsing may leave a surface that touches itself; it is mended, so that what was watertight
    stays so, and floaters are dropped.

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
    points, corners = _collapsed(vertices, faces, num_faces)
    points, corners = mend(points, corners)
    points, corners = keep_large_components(points, corners, _MIN_SHARE)
    excess = len(corners) - num_faces  # mending cuts a few triangles in two
    if 0 < excess < num_faces // 2:
        points, corners = mend(*_collapsed(vertices, faces, num_faces - 2 * excess))
        points, corners = keep_large_components(points, corners, _MIN_SHARE)
    return points, corners


def _collapsed(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], num_faces: int
) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    points, corners = fast_simplification.simplify(
        vertices.numpy(), faces.numpy().astype(np.int32), target_count=num_faces
    )
    a, b, c = corners.T
    corners = corners[(a != b) & (b != c) & (c != a)].astype(np.int64)
    return torch.from_numpy(points.astype(np.float32)), torch.from_numpy(corners)
