"""What a texture's texels show: places on the surface, and their colours."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor

from redream.export.baking import shown_colors
from redream.export.turntable import device_of
from redream.kernels.raycast import RayCaster
from redream.meshes.triangles import at_barycentric, vertex_normals
from redream.representations.base import Representation

_ENOUGH_WEIGHT = 0.5  # of views, from which a texel needs no other colour
# A texture that covers an object has some four times as many texels to a length as a picture of the
# same side: coarser pictures would blur it, finer ones cost time for nothing.
_TEXELS_PER_PIXEL = 4
_SMALLEST_VIEW = 64  # pixels along a side
_COLOR_CHUNK = 1 << 18  # surface points whose colour is asked for at once


class Atlas(NamedTuple):
    """A surface cut into charts that lie flat in the unit square.

    Attributes:
        vertex_origin: For each atlas vertex the surface vertex that it copies.
        faces: Indices of atlas vertices, in the order of the surface's faces.
        uvs: Texture coordinates in [0, 1] of the atlas vertices.
    """

    vertex_origin: Int[Tensor, " A"]
    faces: Int[Tensor, "F 3"]
    uvs: Float[Tensor, "A 2"]


class Texels(NamedTuple):
    """The texels that show something.

    Attributes:
        points: The surface point under the centre of each, in row order.
        normals: The smooth unit normal there.
        covered: Which texels of the texture they are.
    """

    points: Float[Tensor, "N 3"]
    normals: Float[Tensor, "N 3"]
    covered: Bool[Tensor, "T T"]


def find_texels(atlas: Atlas, vertices: Float[Tensor, "V 3"], texture_size: int) -> Texels:
    """Finds the surface point under the centre of each texel.

    The charts are a flat mesh, and each texel shoots a ray straight down at it.

    Args:
        atlas: The charts.
        vertices: The surface's positions.
        texture_size: Texels along a side.

    Returns:
        The covered texels.
    """
    flat = torch.nn.functional.pad(atlas.uvs * texture_size, (0, 1))
    centre = torch.arange(texture_size) + 0.5
    row, column = torch.meshgrid(centre, centre, indexing="ij")
    origins = torch.stack([column, row, torch.ones_like(row)], dim=-1).reshape(-1, 3)
    down = torch.tensor([0.0, 0.0, -1.0]).expand_as(origins)
    hits = RayCaster(flat, atlas.faces).cast(origins, down)
    covered = hits.face >= 0
    faces = atlas.vertex_origin[atlas.faces]
    where = hits.face[covered], hits.barycentric[covered]
    normals = at_barycentric(vertex_normals(vertices, faces), faces, *where)
    return Texels(
        points=at_barycentric(vertices, faces, *where),
        normals=torch.nn.functional.normalize(normals, dim=-1),
        covered=covered.reshape(texture_size, texture_size),
    )


def texel_colors(
    particle: Representation,
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    texels: Texels,
    baking_size: int = 192,
) -> Float[Tensor, "N 3"]:
    """The colours of the texels: the field's own, and of soft fields what their views show.

    Args:
        particle: The scene theta.
        vertices: Its surface, on the CPU.
        faces: Corner indices.
        texels: Where the colours are asked for.
        baking_size: Most pixels along a side of the views; small textures take smaller ones.
    """
    device = device_of(particle)
    parts = torch.split(texels.points, _COLOR_CHUNK)
    colors = torch.cat([particle.colors(part.to(device)).cpu() for part in parts])
    if not particle.is_soft:
        return colors
    size = min(max(len(texels.covered) // _TEXELS_PER_PIXEL, _SMALLEST_VIEW), baking_size)
    shown, weight = shown_colors(particle, vertices, faces, texels.points, texels.normals, size)
    share = (weight / _ENOUGH_WEIGHT).clamp_max(1.0)[:, None]
    return share * shown + (1.0 - share) * colors


def fill_gaps(
    texture: Float[Tensor, "H W 4"], covered: Bool[Tensor, "H W"]
) -> Float[Tensor, "H W 4"]:
    """Gives every uncovered texel the colour of the nearest covered one, so no seam shows."""
    row, column = ndimage.distance_transform_edt(
        ~covered.numpy(), return_distances=False, return_indices=True
    )
    return texture[torch.from_numpy(row).long(), torch.from_numpy(column).long()]
