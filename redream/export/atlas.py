"""From a particle to a textured mesh: surface, UV atlas by xatlas, colours baked from the field."""

import warnings

import numpy as np
import torch
import xatlas
from jaxtyping import Float, Int
from torch import Tensor

from redream.export.own_layout import own_texture
from redream.export.texels import Atlas, fill_gaps, find_texels, texel_colors
from redream.meshes.simplify import simplify
from redream.meshes.triangles import vertex_normals
from redream.representations.base import Representation
from redream.types import Material, TriangleMesh

_PADDING = 4  # texels between charts, so that filtering and two mip levels never mix them
_MOST_FACES = 200_000  # that are unwrapped: a minute or so

_last: list[xatlas.Atlas] = []
"""The last atlas, which is let go when the next one is there.

xatlas 0.0.11 ends its threads when an atlas goes. It wakes them for that without their lock, and
one that is about to sleep just then, as after a small mesh on a busy computer, sleeps on: the
process waits for it forever. By the time of the next atlas they have long been asleep, and wake.
"""


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
    _last[:] = [builder]
    origin, atlas_faces, uvs = builder[0]
    return Atlas(
        torch.from_numpy(origin.astype(np.int64)),
        torch.from_numpy(atlas_faces.astype(np.int64)),
        torch.from_numpy(np.asarray(uvs, dtype=np.float32)),
    )


@torch.no_grad()
def textured_mesh(
    particle: Representation,
    surface_resolution: int = 80,
    texture_size: int = 1024,
    num_faces: int | None = None,
    unlit: bool | None = None,
    anew: bool | None = None,
    baking_size: int = 192,
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
        anew: Whether to unwrap a surface that still is an asset's with texture coordinates of its
            own; None does so only where these cannot hold a texture, and says so.
        baking_size: Most pixels along a side of the views that a soft field's colours are of.

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
    if unlit is None:
        unlit = particle.shading != "lit"
    layout = None if anew else particle.layout()
    if layout is not None and len(layout.corner_uvs) == len(faces):
        own = own_texture(
            particle, vertices, faces, layout, texture_size, unlit, anew is False, baking_size
        )
        if own is not None:
            return own
    atlas = unwrap(vertices, faces, texture_size)
    texels = find_texels(atlas, vertices, texture_size)
    colors = texel_colors(particle, vertices, faces, texels, baking_size)
    if not bool(torch.isfinite(colors).all()):
        raise ValueError("The particle's surface has colours that are not numbers (NaN).")
    texture = torch.ones(texture_size, texture_size, 4)
    texture[..., :3][texels.covered] = colors.clamp(0.0, 1.0).float()
    return TriangleMesh(
        vertices=vertices,
        faces=faces,
        corner_normals=vertex_normals(vertices, faces)[faces],
        corner_uvs=atlas.uvs[atlas.faces],
        corner_colors=torch.ones(len(faces), 3, 4),
        face_materials=torch.zeros(len(faces), dtype=torch.long),
        materials=(Material(texture=fill_gaps(texture, texels.covered), unlit=unlit),),
    )
