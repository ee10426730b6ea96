"""Whether a surface is closed, in how many pieces, and where it is not a surface."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from redream.kernels.outlines import find_edges
from redream.meshes.triangles import weld


class Soundness(NamedTuple):
    """Counts of a surface, corners at one place taken as one.

    Attributes:
        num_faces: Triangles.
        num_vertices: Vertices.
        num_components: Pieces that no face connects.
        num_boundary_edges: Edges of one triangle, at which the surface ends.
        num_nonmanifold_edges: Edges of more than two triangles.
        is_watertight: Whether there is something and every edge has two triangles.
    """

    num_faces: int
    num_vertices: int
    num_components: int
    num_boundary_edges: int
    num_nonmanifold_edges: int
    is_watertight: bool


def inspect_surface(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Soundness:
    """Counts what a surface consists of, on the CPU.

    Files split vertices where texture coordinates or normals do; those are joined first.
    """
    vertices, faces = weld(vertices, faces)
    edges = find_edges(faces)
    num_sides = torch.bincount(edges.edge, minlength=len(edges.corners))
    first, second = edges.corners.T.numpy()
    graph = coo_matrix((np.ones(len(first)), (first, second)), [len(vertices)] * 2)
    num_components, _ = connected_components(graph, directed=False)
    return Soundness(
        num_faces=len(faces),
        num_vertices=len(vertices),
        num_components=int(num_components),
        num_boundary_edges=int((num_sides == 1).sum()),
        num_nonmanifold_edges=int((num_sides > 2).sum()),
        is_watertight=len(faces) > 0 and bool((num_sides == 2).all()),
    )
