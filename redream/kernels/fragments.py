"""Where each pixel's ray meets a mesh first: visibility by ray casting, geometry by PyTorch.

Which triangle is seen has no gradient. Where on it the ray lands has: the ray stays and the
triangle moves, so that points, depths and barycentric weights are functions of the vertices.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.cameras import rays
from redream.kernels.raycast import RayCaster
from redream.types import Cameras


class Fragments(NamedTuple):
    """The pixels that see the mesh, and where on it they look.

    Attributes:
        pixel: Index of each pixel among all ``B H W`` in row order, ascending.
        face: The triangle seen.
        barycentric: Weights of the triangle's three corners.
        points: Positions in the world.
        depth: Distances from the camera.
        directions: Unit directions of the rays.
    """

    pixel: Int[Tensor, " N"]
    face: Int[Tensor, " N"]
    barycentric: Float[Tensor, "N 3"]
    points: Float[Tensor, "N 3"]
    depth: Float[Tensor, " N"]
    directions: Float[Tensor, "N 3"]

    def interpolate(
        self, faces: Int[Tensor, "F 3"], attributes: Float[Tensor, "V C"]
    ) -> Float[Tensor, "N C"]:
        """Attributes of the vertices, interpolated over the triangles, with gradients to both."""
        corners = faces[self.face]
        parts = [attributes.index_select(0, corners[:, i]) for i in range(3)]
        total: Tensor = sum(self.barycentric[:, i, None] * part for i, part in enumerate(parts))  # type: ignore[assignment]
        return total


@torch.no_grad()
def cast_visibility(
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    cameras: Cameras,
    height: int,
    width: int,
) -> Int[Tensor, "B H W"]:
    """Finds by ray casting the triangle that each pixel's centre sees, -1 for none.

    Args:
        vertices: Positions.
        faces: Corner indices; both sides of a triangle are seen.
        cameras: ``B`` cameras on the device of the vertices.
        height: Rows in pixels.
        width: Columns in pixels.
    """
    caster = RayCaster(vertices, faces, vertices.device)
    origins, directions = (part.reshape(-1, 3) for part in rays(cameras, height, width))
    return caster.cast(origins, directions).face.view(-1, height, width)


def fragments(
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    cameras: Cameras,
    seen: Int[Tensor, "B H W"],
) -> Fragments:
    """Intersects the rays of the pixels with the planes of the triangles that they see.

    Args:
        vertices: Positions; gradients reach them.
        faces: Corner indices (int64).
        cameras: ``B`` cameras.
        seen: The triangle that each pixel sees, -1 for none.

    Returns:
        The fragments, in the precision of the vertices (Moller and Trumbore, 1997).
    """
    pixel = (seen.reshape(-1) >= 0).nonzero()[:, 0]
    face = seen.reshape(-1)[pixel]
    origins, directions = (part.reshape(-1, 3)[pixel] for part in rays(cameras, *seen.shape[1:]))
    a, b, c = (vertices.index_select(0, faces[face, i]) for i in range(3))
    edge_b, edge_c, to_ray = b - a, c - a, origins - a
    cross_c = torch.linalg.cross(directions, edge_c)
    cross_b = torch.linalg.cross(to_ray, edge_b)
    determinant = (edge_b * cross_c).sum(-1)
    flat = determinant.abs() < 1e-12  # seen exactly edge-on: a point of no area
    determinant = torch.where(flat, 1.0, determinant)
    v = (to_ray * cross_c).sum(-1) / determinant
    w = (directions * cross_b).sum(-1) / determinant
    barycentric = torch.stack([1.0 - v - w, v, w], -1)
    barycentric = torch.where(flat[:, None], barycentric.new_tensor(1.0 / 3.0), barycentric)
    points = barycentric[:, :1] * a + barycentric[:, 1:2] * b + barycentric[:, 2:] * c
    depth = ((points - origins) * directions).sum(-1)
    return Fragments(pixel, face, barycentric, points, depth, directions)
