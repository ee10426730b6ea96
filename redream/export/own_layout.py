"""Textures in the layout that an asset came with: its own texture coordinates, materials, nodes."""

import math
import warnings

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from redream.export.texels import Atlas, fill_gaps, find_texels, texel_colors
from redream.meshes.layout import Layout
from redream.meshes.triangles import area_normals, vertex_normals
from redream.representations.base import Representation
from redream.types import Material, TriangleMesh

_MOST_TILES = 8  # of a texture that a face may reach over, along a side
_SMALLEST = 0.5  # texels that a face must have, to have a colour of its own
_MOST_FLAT = 0.1  # of the surface, that may have fewer
_SHARED = 0.05  # of the texels that faces take, from which a line says that several take them
_MOST_SHARED = 0.75  # as of a texture that is laid four times over the surface
_WAY_OUT = "--export.unwrap true gives each face texels of its own"


def own_texture(
    particle: Representation,
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    layout: Layout,
    texture_size: int,
    unlit: bool,
    insist: bool,
    baking_size: int = 192,
) -> TriangleMesh | None:
    """Bakes a particle's colours into textures that lie as its asset's did.

    Args:
        particle: The scene theta.
        vertices: Its surface, on the CPU.
        faces: Corner indices.
        layout: That of the faces.
        texture_size: Texels along a side of each material's texture; fewer where there are many.
        unlit: Whether viewers show the colours as they are.
        insist: Whether to do so whatever the layout is.
        baking_size: Most pixels along a side of the views that a soft field's colours are of.

    Returns:
        The mesh with the asset's texture coordinates and names; None where the layout cannot hold
        a texture and that is not insisted on.

    Warns:
        RuntimeWarning: If faces share texels, or the layout cannot hold a texture.
    """
    num = len(layout.materials)
    size = max(64, int(texture_size / math.sqrt(max(1.0, num / 4.0))))
    area = area_normals(vertices, faces).norm(dim=-1)
    flat = float(area[uv_areas(layout) * size**2 < _SMALLEST].sum() / area.sum())
    if flat > _MOST_FLAT and not insist:
        _warn(f"give no texels to {flat:.0%} of its surface: a new atlas is made")
        return None
    materials, num_taken, num_covered = [], 0.0, 0
    for index, name in enumerate(layout.materials):
        own = (layout.face_materials == index).nonzero()[:, 0]
        texture = torch.ones(size, size, 4)
        if len(own):
            texels = find_texels(_charts(layout, faces, own), vertices, size)
            num_taken += float(uv_areas(layout)[own].sum()) * size**2
            num_covered += int(texels.covered.sum())
            if bool(texels.covered.any()):
                colors = texel_colors(particle, vertices, faces, texels, baking_size)
                texture[..., :3][texels.covered] = colors.clamp(0.0, 1.0).float()
                texture = fill_gaps(texture, texels.covered)
        materials.append(Material(texture=texture, unlit=unlit, name=name))
    shared = max(0.0, 1.0 - num_covered / max(num_taken, 1.0))
    if shared > _MOST_SHARED and not insist:
        _warn(f"give {shared:.0%} of its texels to several faces: a new atlas is made")
        return None
    if shared > _SHARED:
        _warn(f"give {shared:.0%} of its texels to several faces, which look alike: {_WAY_OUT}")
    return TriangleMesh(
        vertices=vertices,
        faces=faces,
        corner_normals=vertex_normals(vertices, faces)[faces],
        corner_uvs=layout.corner_uvs,
        corner_colors=torch.ones(len(faces), 3, 4),
        face_materials=layout.face_materials,
        materials=tuple(materials),
        face_nodes=layout.face_nodes,
        nodes=layout.nodes,
    )


def uv_areas(layout: Layout) -> Float[Tensor, " F"]:
    """The area of each face in its texture, whose own is 1."""
    a, b, c = layout.corner_uvs.unbind(1)
    areas: Tensor = 0.5 * torch.linalg.det(torch.stack([b - a, c - a], dim=-1)).abs()
    return areas


def _charts(layout: Layout, faces: Int[Tensor, "F 3"], own: Int[Tensor, " N"]) -> Atlas:
    """The faces of a material in the unit square; those that reach over it, once for each tile."""
    uvs = layout.corner_uvs[own]
    uvs = uvs - uvs.amin(1, keepdim=True).floor()
    reach = (uvs.amax(1).ceil().long() - 1).clamp(0, _MOST_TILES - 1)
    pieces, origins = [uvs], [faces[own]]
    for right in range(int(reach[:, 0].max()) + 1):
        for down in range(int(reach[:, 1].max()) + 1):
            there: Bool[Tensor, " N"] = (reach[:, 0] >= right) & (reach[:, 1] >= down)
            if (right or down) and bool(there.any()):
                pieces.append(uvs[there] - torch.tensor([float(right), float(down)]))
                origins.append(faces[own][there])
    corners = torch.cat(origins).reshape(-1)
    return Atlas(corners, torch.arange(len(corners)).view(-1, 3), torch.cat(pieces).reshape(-1, 2))


def _warn(what: str) -> None:
    warnings.warn(f"The asset's texture coordinates {what}.", RuntimeWarning, stacklevel=3)
