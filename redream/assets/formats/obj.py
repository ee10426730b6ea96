"""Writes a mesh as Wavefront OBJ, with its materials in an MTL file and its textures as PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from redream.assets.attribution import comment_lines
from redream.assets.color import linear_to_srgb
from redream.assets.writing import node_faces, texture_png, unit_normals
from redream.files import whole_file
from redream.types import Material, TriangleMesh


def write_obj(path: Path, mesh: TriangleMesh, extras: Mapping[str, Any] | None = None) -> None:
    """Writes ``NAME.obj``, ``NAME.mtl`` and ``NAME.png``; with several textures ``NAME_1.png`` ...

    The OBJ file comes last, so that where it is, all is. It has positions, texture coordinates and
    normals; vertex colours have no place in the format and are left out.

    Args:
        path: The ``.obj`` file.
        mesh: The mesh.
        extras: What to say in comments.

    Raises:
        ValueError: If the mesh has no faces.
        OSError: If the folder cannot be written.
    """
    if len(mesh.faces) == 0:
        raise ValueError("the mesh has no faces, so there is nothing to write")
    comments = [f"# {line}" for line in comment_lines(extras or {})]
    described, names = list(comments), _material_names(mesh.materials)
    for index, material in enumerate(mesh.materials):
        described += _material(path, index, names[index], material)
    with whole_file(path.with_suffix(".mtl")) as temporary:
        temporary.write_text("\n".join(described) + "\n", encoding="utf-8")
    lines = [*comments, f"mtllib {path.stem}.mtl"]
    faces = np.arange(len(mesh.faces))
    uvs = mesh.corner_uvs.numpy().reshape(-1, 2) * (1.0, -1.0) + (0.0, 1.0)  # v points up
    places, place = np.unique(uvs, axis=0, return_inverse=True)
    normals, normal = np.unique(unit_normals(mesh, faces).round(5), axis=0, return_inverse=True)
    for kind, rows in (("v", mesh.vertices.numpy()), ("vt", places), ("vn", normals)):
        lines += [" ".join([kind, *(f"{value:.7g}" for value in row)]) for row in rows.tolist()]
    corners = np.stack([mesh.faces.numpy().reshape(-1), place.reshape(-1), normal.reshape(-1)], 1)
    corners = (corners + 1).reshape(-1, 3, 3)
    for node, shown in node_faces(mesh):
        lines.append(f"o {node or path.stem}")
        for index in range(len(mesh.materials)):
            own = corners[(shown & (mesh.face_materials == index)).numpy()].tolist()
            lines += [f"usemtl {names[index]}"] if own else []
            lines += [" ".join(["f", *("/".join(map(str, c)) for c in face)]) for face in own]
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _material_names(materials: Sequence[Material]) -> list[str]:
    """The materials' own names, each once; those that have none are numbered."""
    given = ["_".join(each.name.split()) or f"material_{i}" for i, each in enumerate(materials)]
    names: list[str] = []
    for index, name in enumerate(given):
        while name in names or (name != given[index] and name in given):
            name += f"_{index}"
        names.append(name)
    return names


def _material(path: Path, index: int, name: str, material: Material) -> list[str]:
    """The lines of a material; its textures are written beside."""
    red, green, blue, alpha = material.base_color
    lines = [
        f"newmtl {name}",
        f"illum {0 if material.unlit else 1}",  # 0: the colour as it is
        f"Kd {red:.5g} {green:.5g} {blue:.5g}",
        "Ks 0 0 0",
        f"d {alpha:.5g}",
    ]
    clamp = "-clamp on " if material.sampler.wrap_u == material.sampler.wrap_v == "clamp" else ""
    if material.texture is not None:
        picture = _picture(path, index, "", material.texture)
        lines.append(f"map_Kd {clamp}{picture}")
        if bool((material.texture[..., 3] < 1.0).any()):
            lines.append(f"map_d {clamp}{picture}")  # the alpha of map_Kd is no opacity
    if material.emits:
        lines.append("Ke " + " ".join(f"{each:.5g}" for each in _srgb(material.emission)))
    if material.emits and material.emission_texture is not None:
        alike = torch.ones_like(material.emission_texture[..., :1])
        glow = torch.cat([material.emission_texture, alike], dim=-1)
        lines.append(f"map_Ke {clamp}{_picture(path, index, '_emission', glow)}")
    return lines


def _picture(path: Path, index: int, kind: str, texture: Float[Tensor, "H W 4"]) -> str:
    """Writes a texture beside, and gives its name."""
    picture = path.with_name(path.stem + (f"_{index}" if index else "") + f"{kind}.png")
    with whole_file(picture) as temporary:
        temporary.write_bytes(texture_png(texture))
    return picture.name


def _srgb(linear: Sequence[float]) -> list[float]:
    return [float(each) for each in linear_to_srgb(np.array(linear))]
