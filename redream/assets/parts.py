"""Pieces of a 3D file, brought into the world and joined into one mesh."""

from typing import NamedTuple

import numpy as np
import torch

from redream.types import Material, TriangleMesh


class Part(NamedTuple):
    """Triangles of one material in the world frame; attributes are of vertices or of corners.

    Attributes:
        vertices: ``V 3`` positions.
        faces: ``F 3`` indices into the vertices.
        normals: ``V 3`` or ``F 3 3`` shading normals of any length, or None for flat shading.
        uvs: ``V 2`` or ``F 3 2`` glTF texture coordinates, or None.
        colors: ``V 4`` or ``F 3 4`` sRGB colours in [0, 1], or None.
        material: The material.
        name: Of the node or object that it belongs to; may be empty.
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray | None
    uvs: np.ndarray | None
    colors: np.ndarray | None
    material: Material
    name: str = ""


def place(
    transform: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    normals: np.ndarray | None,
    uvs: np.ndarray | None,
    colors: np.ndarray | None,
    material: Material,
    name: str = "",
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
    return Part(vertices, faces, normals, uvs, colors, material, name)


def join_parts(parts: list[Part]) -> TriangleMesh:
    """Joins parts; faces without area or with non-finite corners are dropped."""
    vertices, faces, normals, uvs, colors, owners, shown_by = [], [], [], [], [], [], []
    materials: dict[int, Material] = {}
    nodes: dict[str, int] = {}
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
        used, compact = _compact(kept, len(part.vertices))
        vertices.append(part.vertices[used])
        faces.append(compact + num_vertices)
        shading = _of_corners(part.normals, kept, keep, flat)
        normals.append(flat if part.normals is None else _unit(shading, flat))
        uvs.append(_of_corners(part.uvs, kept, keep, np.zeros((len(kept), 3, 2))))
        colors.append(_of_corners(part.colors, kept, keep, np.ones((len(kept), 3, 4))))
        materials.setdefault(id(part.material), part.material)
        owners.append(np.full(len(kept), list(materials).index(id(part.material))))
        shown_by.append(np.full(len(kept), nodes.setdefault(part.name, len(nodes))))
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
        face_nodes=torch.from_numpy(np.concatenate(shown_by).astype(np.int64)),
        nodes=tuple(nodes),
    )


def _compact(faces: np.ndarray, num_vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """The vertices that faces use, and the faces with these numbered anew."""
    if 4 * faces.size < num_vertices:
        used, numbered = np.unique(faces, return_inverse=True)
        return used, numbered.reshape(-1, 3)
    is_used = np.zeros(num_vertices, dtype=bool)
    is_used[faces.reshape(-1)] = True
    return np.nonzero(is_used)[0], (np.cumsum(is_used) - 1)[faces]


def _of_corners(
    values: np.ndarray | None, faces: np.ndarray, keep: np.ndarray, default: np.ndarray
) -> np.ndarray:
    """An attribute of the kept faces' corners, ``F 3 C``."""
    if values is None:
        return default
    chosen: np.ndarray = values[keep] if values.ndim == 3 else values[faces]
    return chosen


def _unit(vectors: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    """Unit vectors; those without a direction take the fallback's."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isfinite(length) & (length > 0.0), vectors / length, fallback)
