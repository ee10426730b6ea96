"""Marching tetrahedra in PyTorch: the mesh that kaolin makes, without kaolin.

A tetrahedron whose corners lie on both sides of the surface gives one triangle (one corner apart
from the three others) or two (two and two). Vertices lie where the signed distance, linear along
an edge, is zero, so they carry gradients to the distances and to the grid (Doi and Koide, 1991;
Shen et al., 2021).
"""

from itertools import combinations
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

_EDGES = list(combinations(range(4), 2))


class TetrahedralSurface(NamedTuple):
    """What marching tetrahedra find.

    Attributes:
        vertices: Positions, in the order of the edges that they lie on.
        faces: Corner indices; tetrahedra with one triangle first, then those with two.
        tetrahedra: The tetrahedron that each face comes from.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    tetrahedra: Int[Tensor, " F"]


def _triangles(case: int) -> list[list[int]]:
    """The triangles of one sign pattern, as indices of edges; bit i says that corner i is inside.

    They are counter-clockwise seen from inside in a tetrahedron of positive volume. A quadrilateral
    is cut between edges 02 and 13, or between 03 and 12 where it does not touch those two.
    """
    inside = [corner for corner in range(4) if case >> corner & 1]
    outside = [corner for corner in range(4) if not case >> corner & 1]
    crossed = [i for i, (a, b) in enumerate(_EDGES) if (a in inside) != (b in inside)]
    if len(crossed) == 4:
        first, last = (1, 4) if {1, 4} <= set(crossed) else (2, 3)
        triangles = [[first, last, other] for other in crossed if other not in (first, last)]
    else:
        triangles = [crossed] if crossed else []
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    middles = torch.stack([(corners[a] + corners[b]) / 2.0 for a, b in _EDGES])
    wound = []
    for triangle in triangles:
        a, b, c = middles[triangle]
        inward = corners[inside].mean(0) - corners[outside].mean(0)
        faces_inward = torch.linalg.cross(b - a, c - a) @ inward > 0.0
        wound.append(triangle if faces_inward else triangle[::-1])
    return wound


_TRIANGLES = [_triangles(case) for case in range(16)]


def marching_tetrahedra(
    vertices: Float[Tensor, "N 3"], tetrahedra: Int[Tensor, "T 4"], sdf: Float[Tensor, " N"]
) -> TetrahedralSurface:
    """Extracts where a signed distance on the vertices of tetrahedra crosses zero.

    Args:
        vertices: Positions of the grid's vertices.
        tetrahedra: Corner indices (int64).
        sdf: Signed distances, positive inside, as kaolin has them.

    Returns:
        The surface, with gradients to ``vertices`` and ``sdf``; without faces where nothing
        crosses. Faces are counter-clockwise seen from outside where tetrahedra have a negative
        volume, as those of :class:`~redream_kaolin.grid.TetrahedralGrid`.
    """
    device, num_vertices = sdf.device, len(sdf)
    with torch.no_grad():
        inside = (sdf > 0).to(torch.uint8)
        case = inside[tetrahedra[:, 0]]
        for corner in range(1, 4):
            case |= inside[tetrahedra[:, corner]] << corner
        crossed = ((case != 0) & (case != 15)).nonzero()[:, 0]
        case = case[crossed].long()
        pairs = tetrahedra[crossed][:, torch.tensor(_EDGES, device=device)]
        low, high = pairs.amin(-1), pairs.amax(-1)
        cut = inside[low] != inside[high]
        keys, inverse = torch.unique((low * num_vertices + high)[cut], return_inverse=True)
        row = torch.full_like(low, -1).masked_scatter(cut, inverse)
        faces, sources = [], []
        for num_triangles in (1, 2):
            table = [
                t if len(t) == num_triangles else [[0] * 3] * num_triangles for t in _TRIANGLES
            ]
            has_as_many = torch.tensor([len(t) == num_triangles for t in _TRIANGLES], device=device)
            mine = has_as_many[case].nonzero()[:, 0]
            edges = torch.tensor(table, device=device).view(16, -1)[case[mine]]
            faces.append(row[mine].gather(1, edges).view(-1, 3))
            sources.append(crossed[mine].repeat_interleave(num_triangles))
        a, b = keys.div(num_vertices, rounding_mode="floor"), keys % num_vertices
    sdf_a, sdf_b = sdf.index_select(0, a), sdf.index_select(0, b)
    share = (sdf_a / (sdf_a - sdf_b))[:, None]
    crossing = vertices.index_select(0, a) * (1.0 - share) + vertices.index_select(0, b) * share
    return TetrahedralSurface(crossing, torch.cat(faces), torch.cat(sources))
