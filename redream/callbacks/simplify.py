"""Fewer triangles: quadric edge collapse by fast-simplification, before textures are baked."""

import fast_simplification
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def simplify(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], num_faces: int
) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """Collapses edges until no more than ``num_faces`` triangles are left (Garland, 1997).

    Args:
        vertices: Positions, on the CPU.
        faces: Corner indices.
        num_faces: How many triangles to keep; where there are no more, nothing changes.

    Returns:
        Vertices and faces, without those that nothing uses. More faces than asked for may be left
        where nothing more can be collapsed without turning triangles over.
    """
    if len(faces) <= num_faces:
        return vertices, faces
    points, corners = fast_simplification.simplify(
        vertices.numpy(), faces.numpy().astype(np.int32), target_count=num_faces
    )
    corners = corners.astype(np.int64)
    a, b, c = corners.T
    corners = corners[(a != b) & (b != c) & (c != a)]
    used, compact = np.unique(corners, return_inverse=True)
    return (
        torch.from_numpy(points[used].astype(np.float32)),
        torch.from_numpy(compact.reshape(-1, 3)),
    )
