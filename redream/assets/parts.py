"""Pieces of a 3D file, brought into the world and joined into one mesh."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import trimesh

from redream.types import Material, TriangleMesh


class Part(NamedTuple):
    """Triangles of one material in the world frame; attributes are per vertex.

    Attributes:
        vertices: ``V 3`` positions.
        faces: ``F 3`` indices into the vertices.
        normals: ``V 3`` shading normals of any length, or None for flat shading.
        uvs: ``V 2`` glTF texture coordinates, or None.
        colors: ``V 4`` sRGB colours in [0, 1], or None.
        material: The material.
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray | None
    uvs: np.ndarray | None
    colors: np.ndarray | None
    material: Material


def placed(scene: trimesh.Scene) -> Iterator[tuple[np.ndarray, str]]:
    """World transform and geometry name of every node that shows something, in file order."""
    order = {name: index for index, name in enumerate(scene.geometry)}
    nodes = [scene.graph[node] for node in scene.graph.nodes_geometry]
    found = [(np.asarray(transform, dtype=np.float64), str(name)) for transform, name in nodes]
    yield from sorted(found, key=lambda pair: (order[pair[1]], pair[0].tobytes()))


def place(
    transform: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    normals: np.ndarray | None,
    uvs: np.ndarray | None,
    colors: np.ndarray | None,
    material: Material,
    keep_vertex_alpha: bool = True,
) -> Part:
    """Moves triangles into the world; a mirroring transform turns the faces round."""
    linear = transform[:3, :3]
    vertices = vertices.astype(np.float64) @ linear.T + transform[:3, 3]
    faces = faces.astype(np.int64)
    if np.linalg.det(linear) < 0:
        faces = faces[:, ::-1]
    if normals is not None:
        normals = normals @ np.linalg.pinv(linear)
    if colors is not None:
        colors = np.concatenate([colors, np.ones_like(colors[:, :1])], axis=1)[:, :4]
        if not keep_vertex_alpha:
            colors[:, 3] = 1.0
    return Part(vertices, faces, normals, uvs, colors, material)


def join_parts(parts: list[Part]) -> TriangleMesh:
    """Joins parts; faces without area or with non-finite corners are dropped."""
    vertices, faces, normals, uvs, colors, owners = [], [], [], [], [], []
    materials: dict[int, Material] = {}
    num_vertices = 0
    for part in parts:
        corners = part.vertices[part.faces]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length = np.linalg.norm(cross, axis=-1)
        keep = np.isfinite(corners).all(axis=(1, 2)) & np.isfinite(length) & (length > 0.0)
        if not keep.any():
            continue
        kept = part.faces[keep]
        flat = np.repeat((cross[keep] / length[keep, None])[:, None], 3, axis=1)
        used, compact = np.unique(kept, return_inverse=True)
        vertices.append(part.vertices[used])
        faces.append(compact.reshape(-1, 3) + num_vertices)
        normals.append(flat if part.normals is None else _unit(part.normals[kept], flat))
        uvs.append(np.zeros((len(kept), 3, 2)) if part.uvs is None else part.uvs[kept])
        colors.append(np.ones((len(kept), 3, 4)) if part.colors is None else part.colors[kept])
        materials.setdefault(id(part.material), part.material)
        owners.append(np.full(len(kept), list(materials).index(id(part.material))))
        num_vertices += len(used)
    if not vertices:
        raise ValueError("it has no triangle with an area")
    positions = np.concatenate(vertices)
    centred = positions - (positions.min(0) + positions.max(0)) / 2.0  # before float32 loses digits
    centred /= np.abs(centred).max()

    def as_float(pieces: list[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.nan_to_num(np.concatenate(pieces)).astype(np.float32))

    return TriangleMesh(
        vertices=torch.from_numpy(centred.astype(np.float32)),
        faces=torch.from_numpy(np.concatenate(faces)),
        corner_normals=as_float(normals),
        corner_uvs=as_float(uvs),
        corner_colors=as_float(colors).clamp(0.0, 1.0),
        face_materials=torch.from_numpy(np.concatenate(owners).astype(np.int64)),
        materials=tuple(materials.values()),
    )


def _unit(vectors: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    """Unit vectors; those without a direction take the fallback's."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isfinite(length) & (length > 0.0), vectors / length, fallback)
