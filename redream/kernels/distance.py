"""Signed distance from points to a triangle mesh, on CPU and CUDA from one source.

The sign is that of the generalised winding number (Jacobson et al., 2013; approximated in Warp as
by Barill et al., 2018), so that meshes with holes, with parts inside one another or of single faces
have an inside, too.
"""

import math
from typing import no_type_check

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from redream.kernels.launch import launch, triangles

wp.set_module_options({"enable_backward": False})


@wp.kernel
@no_type_check
def _distance_kernel(
    mesh: wp.uint64, points: wp.array[wp.vec3], farthest: float, distance: wp.array[float]
) -> None:
    i = wp.tid()
    found = wp.mesh_query_point_sign_winding_number(mesh, points[i], farthest)
    if found.result:
        nearest = wp.mesh_eval_position(mesh, found.face, found.u, found.v)
        distance[i] = -found.sign * wp.length(points[i] - nearest)


@torch.no_grad()
def signed_distance(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], points: Float[Tensor, "N 3"]
) -> Float[Tensor, " N"]:
    """Distance from points to the nearest triangle, positive inside and negative outside.

    Args:
        vertices: Positions.
        faces: Corner indices, counter-clockwise seen from outside.
        points: Where to measure, on the device of the vertices.

    Returns:
        The distances, float32, without gradients.
    """
    mesh = triangles(vertices, faces, support_winding_number=True)
    distance = torch.full((len(points),), -torch.inf, device=points.device)
    launch(_distance_kernel, len(points), mesh.id, points.float().contiguous(), 1e6, distance)
    return distance


def signed_distance_reference(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], points: Float[Tensor, "N 3"]
) -> Float[Tensor, " N"]:
    """The same by trying every triangle, in the precision of its arguments.

    The distance is that to the triangle's plane where the foot of the perpendicular is inside it,
    else that to the nearest of its sides (Ericson, 2005, Sec. 5.1.5); the winding number is the sum
    of the triangles' solid angles (van Oosterom and Strackee, 1983).
    """
    corners = vertices[faces.long()]
    to_corner = corners - points[:, None, None]  # N F 3 3
    nearest = torch.full((len(points), len(faces)), torch.inf, dtype=points.dtype)
    for i in range(3):
        start, side = to_corner[:, :, i], (corners.roll(-1, 1) - corners)[:, i]
        along = (-(start * side).sum(-1) / (side**2).sum(-1)).clamp(0.0, 1.0)
        nearest = torch.minimum(nearest, (start + along[..., None] * side).norm(dim=-1))
    a, b, c = to_corner.unbind(2)
    normal = torch.linalg.cross(b - a, c - a)
    pairs = ((a, b), (b, c), (c, a))
    over = torch.stack([(torch.linalg.cross(p, q) * normal).sum(-1) >= 0.0 for p, q in pairs])
    over = over.all(0) | (~over).all(0)
    height = (a * normal).sum(-1).abs() / normal.norm(dim=-1)
    nearest = torch.where(over, torch.minimum(nearest, height), nearest)
    la, lb, lc = (corner.norm(dim=-1) for corner in (a, b, c))
    volume = (a * torch.linalg.cross(b, c)).sum(-1)
    spread = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    winding = (2.0 * torch.atan2(volume, spread)).sum(-1) / (4.0 * math.pi)
    return torch.where(winding > 0.5, 1.0, -1.0) * nearest.amin(1)
