"""From a particle to a textured mesh: surface, UV atlas by xatlas, colours baked from the field."""

from typing import NamedTuple

import numpy as np
import torch
import xatlas
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor

from redream.callbacks.simplify import simplify
from redream.callbacks.turntable import device_of
from redream.kernels.raycast import RayCaster
from redream.representations.base import Representation
from redream.representations.triangles import vertex_normals
from redream.types import Material, TriangleMesh

_PADDING = 4  # texels between charts, so that filtering and two mip levels never mix them
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


def texel_points(
    atlas: Atlas, vertices: Float[Tensor, "V 3"], texture_size: int
) -> tuple[Float[Tensor, "N 3"], Bool[Tensor, "{texture_size} {texture_size}"]]:
    """Finds the surface point under the centre of each texel.

    The charts are a flat mesh, and each texel shoots a ray straight down at it.

    Args:
        atlas: The charts.
        vertices: The surface's positions.
        texture_size: Texels along a side.

    Returns:
        The points of the covered texels in row order, and which texels are covered.
    """
    flat = torch.nn.functional.pad(atlas.uvs * texture_size, (0, 1))
    centre = torch.arange(texture_size) + 0.5
    row, column = torch.meshgrid(centre, centre, indexing="ij")
    origins = torch.stack([column, row, torch.ones_like(row)], dim=-1).reshape(-1, 3)
    down = torch.tensor([0.0, 0.0, -1.0]).expand_as(origins)
    hits = RayCaster(flat, atlas.faces).cast(origins, down)
    covered = hits.face >= 0
    corners = vertices[atlas.vertex_origin[atlas.faces[hits.face[covered]]]]
    points = (hits.barycentric[covered][..., None] * corners).sum(dim=1)
    return points, covered.reshape(texture_size, texture_size)


@torch.no_grad()
def textured_mesh(
    particle: Representation,
    surface_resolution: int = 80,
    texture_size: int = 1024,
    unlit: bool = True,
    num_faces: int | None = None,
) -> TriangleMesh:
    """Extracts a particle's surface and bakes its colours into a texture.

    Args:
        particle: The scene theta.
        surface_resolution: Cells along each axis of the sampling grid.
        texture_size: Texels along a side of the square texture.
        unlit: Whether viewers show the colours as they are; a distilled field's colours hold
            the light that the prior painted.
        num_faces: Most triangles, made fewer before the colours are baked; None keeps all.

    Returns:
        The mesh on the CPU, in the particle's own frame.

    Raises:
        ValueError: If the particle has no surface.
    """
    vertices, faces = particle.extract_surface(surface_resolution)
    vertices, faces = vertices.detach().cpu().float(), faces.cpu().long()
    if faces.shape[0] == 0:
        raise ValueError("The particle has no surface yet: train longer or lower its threshold.")
    if num_faces is not None:
        vertices, faces = simplify(vertices, faces, num_faces)
    atlas = unwrap(vertices, faces, texture_size)
    points, covered = texel_points(atlas, vertices, texture_size)
    colors = torch.cat(
        [
            particle.colors(part.to(device_of(particle))).cpu()
            for part in torch.split(points, _COLOR_CHUNK)
        ]
    )
    texture = torch.ones(texture_size, texture_size, 4)
    texture[..., :3][covered] = colors.clamp(0.0, 1.0).float()
    return TriangleMesh(
        vertices=vertices,
        faces=faces,
        corner_normals=vertex_normals(vertices, faces)[faces],
        corner_uvs=atlas.uvs[atlas.faces],
        corner_colors=torch.ones(len(faces), 3, 4),
        face_materials=torch.zeros(len(faces), dtype=torch.long),
        materials=(Material(texture=_fill_gaps(texture, covered), unlit=unlit),),
    )


def _fill_gaps(
    texture: Float[Tensor, "H W 4"], covered: Bool[Tensor, "H W"]
) -> Float[Tensor, "H W 4"]:
    """Gives every uncovered texel the colour of the nearest covered one, so no seam shows."""
    row, column = ndimage.distance_transform_edt(
        ~covered.numpy(), return_distances=False, return_indices=True
    )
    return texture[torch.from_numpy(row).long(), torch.from_numpy(column).long()]
