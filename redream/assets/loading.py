"""Reads a 3D file into a :class:`~redream.types.TriangleMesh`, normalised."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from redream.assets.gltf import gltf_parts
from redream.assets.parts import join_parts
from redream.assets.ply import ply_parts
from redream.assets.wavefront import obj_parts
from redream.errors import first_line
from redream.types import TriangleMesh

_READERS = {".glb": gltf_parts, ".gltf": gltf_parts, ".obj": obj_parts, ".ply": ply_parts}

SUFFIXES = tuple(_READERS)


UpAxis = Literal["y", "z"]
"""Which axis of a file points up."""


def load_mesh(
    path: str | Path, radius: float = 0.9, strict: bool = False, up: UpAxis = "y"
) -> TriangleMesh:
    """Reads a ``.glb``, ``.gltf``, ``.obj`` or ``.ply`` file.

    Node transforms are applied, all meshes and primitives are joined, lines and points are left
    out, the bounding box's centre is moved to the origin and the farthest vertex is scaled to
    ``radius``.

    Args:
        path: The file.
        radius: Largest distance of a vertex from the origin.
        strict: Whether to refuse a file with coordinates that are no numbers; else the triangles
            that have them are dropped.
        up: ``z`` for files whose +Z points up and whose front faces -Y, as Blender's and Gazebo's
            do: OBJ and PLY do not say it, and glTF is +Y up by its specification.

    Returns:
        The mesh, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read or has no surface; one line that names it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no 3D file at {path}")
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"cannot read {path}: use one of {', '.join(SUFFIXES)}, for instance Blender's export"
        )
    try:
        parts = list(_READERS[path.suffix.lower()](path))
        num_lost = sum(int((~np.isfinite(part.vertices)).any(1).sum()) for part in parts)
        if strict and num_lost:
            raise ValueError(f"{num_lost} of its vertices are no numbers (NaN or infinite)")
        mesh = normalize(join_parts(parts), radius)
        return _z_up(mesh) if up == "z" else mesh
    except Exception as error:  # a stranger's file can fail anywhere inside the readers
        raise ValueError(f"cannot read {path}: {first_line(error)}") from error


def _z_up(mesh: TriangleMesh) -> TriangleMesh:
    """Turns a mesh whose +Z points up about +X, so that +Y does."""
    turn = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
    return mesh._replace(
        vertices=mesh.vertices @ turn.T, corner_normals=mesh.corner_normals @ turn.T
    )


def normalize(mesh: TriangleMesh, radius: float = 0.9) -> TriangleMesh:
    """Moves the bounding box's centre to the origin and scales the mesh into a ball.

    Args:
        mesh: The mesh; every vertex counts.
        radius: Norm of the farthest vertex afterwards.

    Returns:
        The normalised mesh.
    """
    vertices = mesh.vertices.double()
    vertices = vertices - (vertices.amin(0) + vertices.amax(0)) / 2.0
    vertices = vertices * (radius / vertices.norm(dim=-1).max())
    return mesh._replace(vertices=vertices.to(mesh.vertices.dtype))
