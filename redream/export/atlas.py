"""From a particle to a textured mesh: surface, UV atlas by xatlas, colours baked from the field."""

import warnings
from typing import NamedTuple

import numpy as np
import torch
import xatlas
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor

from redream.export.baking import shown_colors
from redream.export.turntable import device_of
from redream.kernels.raycast import RayCaster
from redream.meshes.simplify import simplify
from redream.meshes.triangles import at_barycentric, vertex_normals
from redream.representations.base import Representation
from redream.types import Material, TriangleMesh

_PADDING = 4  # texels between charts, so that filtering and two mip levels never mix them
_MOST_FACES = 200_000  # that are unwrapped: a minute or so
_ENOUGH_WEIGHT = 0.5  # of views, from which a texel needs no other colour
# A texture that covers an object has some four times as many texels to a length as a picture of the
# same side: coarser pictures would blur it, finer ones cost time for nothing.
_TEXELS_PER_PIXEL = 4
_SMALLEST_VIEW, _LARGEST_VIEW = 64, 192  # pixels along a side
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


def unwrap(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], texture_size: int) -> Atlas:
    """Unwraps a surface into charts packed into one square.

    Args:
        vertices: Positions.
        faces: Corner indices.
        texture_size: Texels along a side of the texture, from which the padding follows.

    Returns:
        The atlas.
    """
    builder = xatlas.Atlas()
    builder.add_mesh(vertices.detach().cpu().float().numpy(), faces.cpu().numpy().astype(np.uint32))
    packing = xatlas.PackOptions()
    packing.resolution = texture_size
    packing.padding = _PADDING
    packing.bilinear = True
    builder.generate(xatlas.ChartOptions(), packing)
    origin, atlas_faces, uvs = builder[0]
    return Atlas(
        torch.from_numpy(origin.astype(np.int64)),
        torch.from_numpy(atlas_faces.astype(np.int64)),
        torch.from_numpy(np.asarray(uvs, dtype=np.float32)),
    )


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


@torch.no_grad()
def textured_mesh(
    particle: Representation,
    surface_resolution: int = 80,
    texture_size: int = 1024,
    num_faces: int | None = None,
    unlit: bool | None = None,
) -> TriangleMesh:
    """Extracts a particle's surface and bakes its colours into a texture.

    Args:
        particle: The scene theta.
        surface_resolution: Cells along each axis of the sampling grid.
        texture_size: Texels along a side of the square texture.
        num_faces: Most triangles, made fewer before the colours are baked; None keeps all up to
            200,000, of which an atlas can be made in reasonable time.
        unlit: Whether viewers show the colours as they are, since a distilled field's colours hold
            the light that the prior painted; None where the particle's own views do.

    Returns:
        The mesh on the CPU, in the particle's own frame.

    Raises:
        ValueError: If the particle has no surface.
    """
    vertices, faces = particle.extract_surface(surface_resolution)
    vertices, faces = vertices.detach().cpu().float(), faces.cpu().long()
    if faces.shape[0] == 0:
        raise ValueError("The particle has no surface yet: train longer or lower its threshold.")
    if not bool(torch.isfinite(vertices).all()):
        raise ValueError("The particle's surface has vertices that are not numbers (NaN).")
    if num_faces is None and len(faces) > _MOST_FACES:
        warnings.warn(
            f"The surface has {len(faces):,} triangles: making them {_MOST_FACES:,}; set num_faces "
            "for another number, or a lower surface_resolution.",
            RuntimeWarning,
            stacklevel=2,
        )
    vertices, faces = simplify(vertices, faces, num_faces or _MOST_FACES)
    atlas = unwrap(vertices, faces, texture_size)
    texels = find_texels(atlas, vertices, texture_size)
    colors = _colors(particle, vertices, faces, texels)
    if not bool(torch.isfinite(colors).all()):
        raise ValueError("The particle's surface has colours that are not numbers (NaN).")
    texture = torch.ones(texture_size, texture_size, 4)
    texture[..., :3][texels.covered] = colors.clamp(0.0, 1.0).float()
    if unlit is None:
        unlit = particle.shading != "lit"
    return TriangleMesh(
        vertices=vertices,
        faces=faces,
        corner_normals=vertex_normals(vertices, faces)[faces],
        corner_uvs=atlas.uvs[atlas.faces],
        corner_colors=torch.ones(len(faces), 3, 4),
        face_materials=torch.zeros(len(faces), dtype=torch.long),
        materials=(Material(texture=_fill_gaps(texture, texels.covered), unlit=unlit),),
    )


def _colors(
    particle: Representation,
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    texels: Texels,
) -> Float[Tensor, "N 3"]:
    """The colours of the texels: the field's own, and of soft fields what their views show."""
    device = device_of(particle)
    parts = torch.split(texels.points, _COLOR_CHUNK)
    colors = torch.cat([particle.colors(part.to(device)).cpu() for part in parts])
    if not particle.is_soft:
        return colors
    size = min(max(len(texels.covered) // _TEXELS_PER_PIXEL, _SMALLEST_VIEW), _LARGEST_VIEW)
    shown, weight = shown_colors(particle, vertices, faces, texels.points, texels.normals, size)
    share = (weight / _ENOUGH_WEIGHT).clamp_max(1.0)[:, None]
    return share * shown + (1.0 - share) * colors


def _fill_gaps(
    texture: Float[Tensor, "H W 4"], covered: Bool[Tensor, "H W"]
) -> Float[Tensor, "H W 4"]:
    """Gives every uncovered texel the colour of the nearest covered one, so no seam shows."""
    row, column = ndimage.distance_transform_edt(
        ~covered.numpy(), return_distances=False, return_indices=True
    )
    return texture[torch.from_numpy(row).long(), torch.from_numpy(column).long()]
