"""Meshes and files with known truths."""

from pathlib import Path

import numpy as np
import torch
import trimesh
from PIL import Image

from redream.types import Material, TriangleMesh

RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def make_box(colors: dict[str, tuple[float, float, float]]) -> TriangleMesh:
    """An unlit box of half size 0.5 whose faces +x -x +y -y +z -z have colours, else grey."""
    box = trimesh.creation.box((1.0, 1.0, 1.0))
    faces = torch.tensor(np.array(box.faces))
    normals = torch.tensor(np.array(box.face_normals)).float()[:, None].repeat(1, 3, 1)
    corner_colors = torch.full((len(faces), 3, 4), 0.5)
    corner_colors[..., 3] = 1.0
    for name, color in colors.items():
        axis, sign = "xyz".index(name[1]), 1.0 if name[0] == "+" else -1.0
        shown = normals[:, 0, axis] * sign > 0.5
        corner_colors[shown, :, :3] = torch.tensor(color)
    return TriangleMesh(
        torch.tensor(np.array(box.vertices)).float(),
        faces,
        normals,
        torch.zeros(len(faces), 3, 2),
        corner_colors,
        torch.zeros(len(faces), dtype=torch.int64),
        (Material(unlit=True),),
    )


def make_quad(material: Material, z: float = 0.0) -> TriangleMesh:
    """A square of half size 1 in the plane z that faces +Z; the texture's top is up."""
    vertices = torch.tensor([[-1.0, -1.0, z], [1.0, -1.0, z], [1.0, 1.0, z], [-1.0, 1.0, z]])
    uvs = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    return TriangleMesh(
        vertices,
        faces,
        torch.tensor([0.0, 0.0, 1.0]).expand(2, 3, 3).contiguous(),
        uvs[faces],
        torch.ones(2, 3, 4),
        torch.zeros(2, dtype=torch.int64),
        (material,),
    )


def stack(*meshes: TriangleMesh) -> TriangleMesh:
    """Joins meshes."""
    num_vertices = num_materials = 0
    faces, owners = [], []
    for mesh in meshes:
        faces.append(mesh.faces + num_vertices)
        owners.append(mesh.face_materials + num_materials)
        num_vertices += len(mesh.vertices)
        num_materials += len(mesh.materials)
    joined = {
        name: torch.cat([getattr(mesh, name) for mesh in meshes])
        for name in ("vertices", "corner_normals", "corner_uvs", "corner_colors")
    }
    return TriangleMesh(
        faces=torch.cat(faces),
        face_materials=torch.cat(owners),
        materials=tuple(m for mesh in meshes for m in mesh.materials),
        **joined,
    )


def quadrant_picture() -> np.ndarray:
    """An 8x8 RGB picture: red top left, green top right, blue bottom left, white bottom right."""
    picture = np.full((8, 8, 3), 255, dtype=np.uint8)
    picture[:4, :4], picture[:4, 4:], picture[4:, :4] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return picture


def write_box_glb(path: Path, color: tuple[int, int, int] = (255, 0, 0)) -> None:
    """A one-colour box written by trimesh."""
    box = trimesh.creation.box((1.0, 2.0, 1.0))
    material = trimesh.visual.material.PBRMaterial(baseColorFactor=[*color, 255])
    box.visual = trimesh.visual.TextureVisuals(material=material)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(trimesh.exchange.gltf.export_glb(trimesh.Scene(box)))


def textured_quad(picture: np.ndarray) -> trimesh.Trimesh:
    """The quad of :func:`make_quad` as trimesh has it."""
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(picture))
    return trimesh.Trimesh(
        vertices=[[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]],
        faces=[[0, 1, 2], [0, 2, 3]],
        visual=trimesh.visual.TextureVisuals(
            uv=np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=float), material=material
        ),
        process=False,
    )
