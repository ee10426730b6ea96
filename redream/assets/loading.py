"""Reads a 3D file into a :class:`~redream.types.TriangleMesh`, normalised."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import trimesh

from redream.assets.beside import FilesBeside
from redream.assets.gltf_parts import gltf_parts
from redream.assets.parts import Part, join_parts, place, placed
from redream.assets.textures import Textures
from redream.errors import first_line
from redream.pictures import known_formats_only
from redream.types import Material, TriangleMesh

SUFFIXES = (".glb", ".gltf", ".obj", ".ply")


def load_mesh(path: str | Path, radius: float = 0.9, strict: bool = False) -> TriangleMesh:
    """Reads a ``.glb``, ``.gltf``, ``.obj`` or ``.ply`` file.

    Node transforms are applied, all meshes and primitives are joined, lines and points are left
    out, the bounding box's centre is moved to the origin and the farthest vertex is scaled to
    ``radius``.

    Args:
        path: The file.
        radius: Largest distance of a vertex from the origin.
        strict: Whether to refuse a file with coordinates that are no numbers; else the triangles
            that have them are dropped.

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
        raise ValueError(f"cannot read {path}: use one of {', '.join(SUFFIXES)}")
    try:
        is_gltf = path.suffix.lower() in (".glb", ".gltf")
        parts = list(gltf_parts(path) if is_gltf else _other_parts(path))
        num_lost = sum(int((~np.isfinite(part.vertices)).any(1).sum()) for part in parts)
        if strict and num_lost:
            raise ValueError(f"{num_lost} of its vertices are no numbers (NaN or infinite)")
        return normalize(join_parts(parts), radius)
    except Exception as error:  # a stranger's file can fail anywhere inside the readers
        raise ValueError(f"cannot read {path}: {first_line(error)}") from error


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


def _other_parts(path: Path) -> Iterator[Part]:
    """OBJ and PLY, whose colours are sRGB and whose v points up."""
    with known_formats_only():
        scene = trimesh.load_scene(str(path), resolver=FilesBeside(path), process=False)
    materials: dict[int, Material] = {}
    visuals = [getattr(geometry, "visual", None) for geometry in scene.geometry.values()]
    pictures = [getattr(getattr(each, "material", None), "image", None) for each in visuals]
    textures = Textures([picture for picture in pictures if picture is not None])
    for transform, name in placed(scene):
        geometry = scene.geometry[name]
        if not isinstance(geometry, trimesh.Trimesh):
            continue
        visual, uvs, colors, material = geometry.visual, None, None, Material()
        if isinstance(visual, trimesh.visual.TextureVisuals):
            simple = visual.material
            picture = getattr(simple, "image", None)
            if picture is None:
                red, green, blue = (float(value) / 255.0 for value in simple.main_color[:3])
                material = Material((red, green, blue, 1.0))
            else:  # a picture replaces the diffuse colour, as Blender has it
                key = id(picture)
                if key not in materials:
                    materials[key] = Material(texture=textures.of(picture))
                material = materials[key]
            if visual.uv is not None:
                uvs = np.asarray(visual.uv, dtype=np.float64)[:, :2] * (1.0, -1.0) + (0.0, 1.0)
        elif visual is not None and visual.kind is not None:
            colors = np.asarray(visual.vertex_colors, dtype=np.float64) / 255.0
        vertices, faces = np.asarray(geometry.vertices), np.asarray(geometry.faces)
        yield place(transform, vertices, faces, geometry.vertex_normals, uvs, colors, material)
