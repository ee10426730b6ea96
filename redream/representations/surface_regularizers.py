"""Regularisers of a triangle surface; each returns an unweighted scalar."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from redream.kernels.outlines import Edges
from redream.meshes.triangles import area_normals

_LEAST_AREA = 1e-12  # twice a face's area


def normal_consistency(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], edges: Edges
) -> Tensor:
    """Mean of 1 - cos over the angles between neighbouring faces: asks for a smooth surface.

    Args:
        vertices: Positions.
        faces: Corner indices, wound alike.
        edges: The mesh's edges; those with two faces count.

    Returns:
        A scalar in [0, 2]; 0 for a plane. A face without area has no side to be seen from: its
        edges count as flat.
    """
    areas = area_normals(vertices, faces)
    has_area = areas.detach().norm(dim=-1, keepdim=True) > _LEAST_AREA
    normals = normalize(torch.where(has_area, areas, 1.0), dim=-1)  # whatever it is: not counted
    order = edges.edge.argsort(stable=True)
    edge = edges.edge[order]
    counts = torch.bincount(edge, minlength=len(edges.corners))
    first = (counts.cumsum(0) - counts)[counts == 2]
    face = order % max(len(faces), 1)  # sides come in three blocks, each in the order of the faces
    sides = face[first], face[first + 1]
    one, other = (normals.index_select(0, side) for side in sides)
    bent = torch.where((has_area[sides[0]] & has_area[sides[1]])[:, 0], (one * other).sum(-1), 1.0)
    return (1.0 - bent).sum() / max(len(first), 1)


def laplacian(vertices: Float[Tensor, "V 3"], edges: Edges) -> Tensor:
    """Mean squared distance between a vertex and the mean of its neighbours (uniform Laplacian).

    Args:
        vertices: Positions.
        edges: The mesh's edges.

    Returns:
        A scalar in squared world units; vertices without a neighbour do not count.
    """
    a, b = edges.corners.unbind(1)
    sums = torch.zeros_like(vertices)
    sums = sums.index_add(0, a, vertices.index_select(0, b))
    sums = sums.index_add(0, b, vertices.index_select(0, a))
    degree = torch.bincount(edges.corners.reshape(-1), minlength=len(vertices))[:, None]
    distance = torch.where(degree > 0, vertices - sums / degree.clamp_min(1), 0.0)
    return (distance**2).sum() / (degree > 0).sum().clamp_min(1)
