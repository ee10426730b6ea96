"""Writes a mesh as binary PLY with a colour per vertex."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.assets.attribution import comment_lines
from redream.assets.render import AssetRenderer
from redream.assets.writing import unit_normals
from redream.files import whole_file
from redream.types import TriangleMesh

_VERTEX = [
    *((name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")),
    *((name, "u1") for name in ("red", "green", "blue", "alpha")),
]
_NAMES = {"<f4": "float", "u1": "uchar"}


def write_ply(path: Path, mesh: TriangleMesh, extras: Mapping[str, Any] | None = None) -> None:
    """Writes positions, normals and sRGB colours, which textures are sampled for, by vertex.

    Args:
        path: The ``.ply`` file.
        mesh: The mesh.
        extras: What to say in comments; what is not ASCII is escaped, as the format asks.

    Raises:
        ValueError: If the mesh has no faces.
        OSError: If the folder cannot be written.
    """
    num_faces = len(mesh.faces)
    if num_faces == 0:
        raise ValueError("the mesh has no faces, so there is nothing to write")
    corner_colors = _corner_colors(mesh)
    corner_normals = torch.from_numpy(unit_normals(mesh, np.arange(num_faces))).float()
    normals = torch.nn.functional.normalize(_vertex_means(mesh, corner_normals), dim=-1)
    colors = (_vertex_means(mesh, corner_colors).clamp(0.0, 1.0) * 255.0).round()
    columns = [*mesh.vertices.T.numpy(), *normals.T.numpy(), *colors.T.numpy()]
    vertices = np.empty(len(mesh.vertices), dtype=_VERTEX)
    for (name, _), column in zip(_VERTEX, columns, strict=True):
        vertices[name] = column
    faces = np.empty(num_faces, dtype=[("num", "u1"), ("corners", "<i4", 3)])
    faces["num"], faces["corners"] = 3, mesh.faces.numpy()
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment {line}" for line in comment_lines(extras or {})),
        f"element vertex {len(vertices)}",
        *(f"property {_NAMES[kind]} {name}" for name, kind in _VERTEX),
        f"element face {num_faces}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    head = "\n".join(header).encode("ascii", "backslashreplace")
    with whole_file(path) as temporary:
        temporary.write_bytes(head + vertices.tobytes() + faces.tobytes())


def _corner_colors(mesh: TriangleMesh) -> Float[Tensor, "N 4"]:
    """The surface's own colour at the corners of the faces, ``3 F`` of them."""
    face = torch.arange(len(mesh.faces)).repeat_interleave(3)
    return AssetRenderer(mesh).albedo(face, torch.eye(3).repeat(len(mesh.faces), 1))


def _vertex_means(mesh: TriangleMesh, values: Float[Tensor, "N C"]) -> Float[Tensor, "V C"]:
    """Means over the corners that meet at each vertex; 0 where none does."""
    corner: Int[Tensor, " N"] = mesh.faces.reshape(-1).long()
    num = torch.bincount(corner, minlength=len(mesh.vertices)).clamp_min(1)
    summed = values.new_zeros(len(mesh.vertices), values.shape[1]).index_add(0, corner, values)
    return summed / num[:, None]
