"""A mesh's edges, their places in a picture, and which of them are its outline there."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.precision import full_precision
from redream.types import Cameras

_NEAREST = 1e-3  # edges that come nearer to the camera's plane than this are left out


class Edges(NamedTuple):
    """The edges of a mesh and the triangles at each.

    Attributes:
        corners: The two vertices of each edge.
        edge: For each side of each triangle its edge.
        opposite: For each side of each triangle the corner that is not on it.
    """

    corners: Int[Tensor, "E 2"]
    edge: Int[Tensor, " S"]
    opposite: Int[Tensor, " S"]


def find_edges(faces: Int[Tensor, "F 3"]) -> Edges:
    """Finds the edges of triangles; corners are one vertex where they have one index."""
    faces = faces.long()
    sides = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    num = int(faces.max()) + 1 if len(faces) else 1
    keys = sides.amin(1) * num + sides.amax(1)
    unique, edge = torch.unique(keys, return_inverse=True)
    corners = torch.stack([unique.div(num, rounding_mode="floor"), unique % num], 1)
    return Edges(corners, edge, torch.cat([faces[:, 2], faces[:, 0], faces[:, 1]]))


def project(
    vertices: Float[Tensor, "V 3"], cameras: Cameras, height: int, width: int
) -> Float[Tensor, "B V 3"]:
    """Column, row and depth of points in pictures; pixel ``i`` has its centre at ``i + 0.5``.

    Depth is measured along the viewing axis; column and row mean nothing where it is not positive.
    """
    rotation, position = cameras.c2w[:, :3, :3], cameras.c2w[:, None, :3, 3]
    with full_precision(vertices):
        x, y, z = ((vertices - position) @ rotation).unbind(-1)
    depth = -z
    scale = 0.5 * height / torch.tan(torch.deg2rad(cameras.fovy_deg) / 2.0)[:, None]
    ahead = torch.where(depth > _NEAREST, depth, 1.0)
    return torch.stack(
        [0.5 * width + scale * x / ahead, 0.5 * height - scale * y / ahead, depth], -1
    )


@torch.no_grad()
def outline_sides(edges: Edges, screen: Float[Tensor, "B V 3"]) -> Float[Tensor, "B E"]:
    """On which side of each edge the picture of all its triangles lies: 1, -1, or 0 for both.

    An edge is part of an outline where its triangles lie on one side: at the border of a surface,
    and where it turns away. The triangles' winding does not matter.
    """
    start, end = (screen[:, edges.corners[:, i]] for i in range(2))
    along = (end - start)[:, edges.edge]
    across = screen[:, edges.opposite] - start[:, edges.edge]
    side = torch.sign(along[..., 0] * across[..., 1] - along[..., 1] * across[..., 0])
    shape = (len(screen), len(edges.corners))
    index = edges.edge.expand(len(screen), -1)
    lowest = side.new_zeros(shape).scatter_reduce(1, index, side, "amin", include_self=False)
    highest = side.new_zeros(shape).scatter_reduce(1, index, side, "amax", include_self=False)
    ahead = (start[..., 2] > _NEAREST) & (end[..., 2] > _NEAREST)
    return torch.where(ahead & (lowest * highest >= 0.0), lowest + highest, 0.0).sign()
