"""Geometry of triangle meshes: normals, welding, sampling, and the sphere that they start from."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from redream.kernels.outlines import find_edges


def area_normals(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "F 3"]:
    """Normals of faces, twice as long as the face is large."""
    a, b, c = (vertices.index_select(0, faces[:, i]) for i in range(3))
    normals: Tensor = torch.linalg.cross(b - a, c - a)
    return normals


def vertex_normals(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]
) -> Float[Tensor, "V 3"]:
    """Unit normals: at each vertex the area-weighted mean of its faces', up where none is."""
    normals = area_normals(vertices, faces)
    summed = torch.zeros_like(vertices)
    for i in range(3):
        summed = summed.index_add(0, faces[:, i], normals)
    is_zero = (summed == 0.0).all(-1, keepdim=True)
    up = torch.tensor([0.0, 1.0, 0.0], dtype=vertices.dtype, device=vertices.device)
    return normalize(torch.where(is_zero, up, summed), dim=-1, eps=1e-20)


def weld(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]
) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """Makes vertices of one position one vertex, and drops faces that this leaves without area.

    Files split vertices where texture or normals do; the surface goes on there.

    Args:
        vertices: Positions.
        faces: Corner indices.

    Returns:
        Vertices that faces use, in ascending order of their coordinates, and the faces.
    """
    return weld_kept(vertices, faces)[:2]


def weld_kept(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]
) -> tuple[Float[Tensor, "W 3"], Int[Tensor, "G 3"], Int[Tensor, " G"]]:
    """As :func:`weld`, and which of the faces are left."""
    unique, index = torch.unique(vertices, dim=0, return_inverse=True)
    joined = index[faces.long()]
    a, b, c = joined.unbind(1)
    kept = ((a != b) & (b != c) & (c != a)).nonzero()[:, 0]
    used, compact = torch.unique(joined[kept], return_inverse=True)
    return unique[used], compact.view(-1, 3), kept


def is_closed(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], min_share: float = 0.99
) -> bool:
    """Whether a surface bounds a volume: nearly all edges, once welded, have two faces.

    Args:
        vertices: Positions.
        faces: Corner indices.
        min_share: Share of the edges that must have two faces.
    """
    edges = find_edges(weld(vertices, faces)[1])
    num_faces = torch.bincount(edges.edge, minlength=len(edges.corners))
    return bool((num_faces == 2).double().mean() >= min_share)


def sample_surface(
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    num: int,
    generator: torch.Generator,
) -> tuple[Int[Tensor, " N"], Float[Tensor, "N 3"]]:
    """Draws points uniformly from a surface.

    Args:
        vertices: Positions, on the CPU.
        faces: Corner indices.
        num: How many points.
        generator: The source of randomness, on the CPU.

    Returns:
        For each point its triangle and the weights of the triangle's corners.
    """
    heaped = area_normals(vertices.double(), faces).norm(dim=-1).cumsum(0)
    places = torch.rand(num, generator=generator, dtype=torch.float64) * heaped[-1]
    face = torch.searchsorted(heaped, places).clamp_max(len(faces) - 1)
    root, along = torch.rand(num, 2, generator=generator).unbind(1)
    root = root.sqrt()
    return face, torch.stack([1.0 - root, root * (1.0 - along), root * along], -1)


def at_barycentric(
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    face: Int[Tensor, " N"],
    barycentric: Float[Tensor, "N 3"],
) -> Float[Tensor, "N 3"]:
    """Positions of points given by triangle and weights."""
    return (barycentric[..., None] * vertices[faces[face]]).sum(1)


def sphere(
    radius: float, num_subdivisions: int = 4
) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """A sphere of ``8 * 4^num_subdivisions`` nearly equal faces, subdivided from an octahedron.

    Args:
        radius: Its radius.
        num_subdivisions: How often each triangle is cut into four.

    Returns:
        Vertices and faces, counter-clockwise seen from outside.
    """
    axes = torch.eye(3)
    vertices = torch.cat([axes, -axes])
    signs = [(i, j, k) for i in (0, 3) for j in (1, 4) for k in (2, 5)]
    faces = torch.tensor([(i, j, k) if (i + j + k) % 2 else (i, k, j) for i, j, k in signs])
    for _ in range(num_subdivisions):
        sides = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(1).values
        edges, index = torch.unique(sides, dim=0, return_inverse=True)
        ab, bc, ca = (index + len(vertices)).view(3, -1)
        a, b, c = faces.unbind(1)
        vertices = torch.cat([vertices, normalize(vertices[edges].sum(1), dim=-1)])
        quarters = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        faces = torch.cat([torch.stack(corners, 1) for corners in quarters])
    return vertices * radius, faces
