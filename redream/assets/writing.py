"""Writes a mesh as a binary glTF file that Khronos's validator accepts."""

import io
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from redream.assets.color import srgb_to_linear
from redream.files import whole_file
from redream.types import Material, TriangleMesh

_FLOAT, _UINT, _VERTICES, _INDICES = 5126, 5125, 34962, 34963
_TYPES = {2: "VEC2", 3: "VEC3", 4: "VEC4"}


def write_glb(
    path: str | Path, mesh: TriangleMesh, extras: Mapping[str, Any] | None = None
) -> None:
    """Writes a mesh with one primitive per material; textures are PNG.

    The file appears complete or not at all.

    Args:
        path: The ``.glb`` file.
        mesh: The mesh.
        extras: What to say in ``asset.extras``: author, license, source, title, attribution.

    Raises:
        ValueError: If the mesh has no faces.
        OSError: If the folder cannot be written.
    """
    data = glb_bytes(mesh, extras)
    with whole_file(Path(path)) as temporary:
        temporary.write_bytes(data)


def glb_bytes(mesh: TriangleMesh, extras: Mapping[str, Any] | None = None) -> bytes:
    """A mesh as the bytes of a GLB file; see :func:`write_glb`."""
    if mesh.faces.shape[0] == 0:
        raise ValueError("the mesh has no faces, so there is nothing to write")
    writer = _Writer()
    primitives = []
    for index, material in enumerate(mesh.materials):
        faces = (mesh.face_materials == index).nonzero()[:, 0]
        if len(faces) > 0:
            has_alpha = bool((mesh.corner_colors[faces, :, 3] < 1.0).any())
            primitives.append(
                {
                    "material": writer.material(material, has_alpha),
                    **writer.primitive(mesh, faces.numpy(), material.texture is not None),
                }
            )
    asset: dict[str, Any] = {"version": "2.0", "generator": "ReDream"}
    if extras:
        asset["extras"] = dict(extras)
    header = {
        "asset": asset,
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": primitives}],
        **writer.header,
        "bufferViews": writer.views,
        "buffers": [{"byteLength": len(writer.buffer)}],
    }
    if any(material.unlit for material in mesh.materials):
        header["extensionsUsed"] = ["KHR_materials_unlit"]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(writer.buffer)
    return (
        b"glTF"
        + struct.pack("<IIII", 2, total, len(text), 0x4E4F534A)
        + text
        + struct.pack("<II", len(writer.buffer), 0x004E4942)
        + bytes(writer.buffer)
    )


class _Writer:
    """Collects the binary buffer and the JSON lists that point into it."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.views: list[dict[str, Any]] = []
        self.header: dict[str, list[Any]] = {"accessors": [], "materials": []}
        self._pictures: dict[int, int] = {}

    def primitive(self, mesh: TriangleMesh, faces: np.ndarray, has_texture: bool) -> dict[str, Any]:
        """Writes the triangles of one material; equal corners are shared."""
        corners = mesh.faces.numpy()[faces].reshape(-1)
        columns = [mesh.vertices.numpy()[corners], unit_normals(mesh, faces)]
        names, widths = ["POSITION", "NORMAL"], [3, 3]
        if has_texture:
            columns.append(mesh.corner_uvs.numpy()[faces].reshape(-1, 2))
            names.append("TEXCOORD_0")
            widths.append(2)
        colors = mesh.corner_colors.numpy()[faces].reshape(-1, 4)
        if (colors != 1.0).any():
            columns.append(np.concatenate([srgb_to_linear(colors[:, :3]), colors[:, 3:]], axis=1))
            names.append("COLOR_0")
            widths.append(4)
        rows, inverse = np.unique(
            np.concatenate(columns, axis=1).astype(np.float32), axis=0, return_inverse=True
        )
        pieces = np.split(rows, np.cumsum(widths)[:-1], axis=1)
        attributes = {
            name: self._accessor(piece, bounds=name == "POSITION")
            for name, piece in zip(names, pieces, strict=True)
        }
        return {"attributes": attributes, "indices": self._indices(inverse.reshape(-1))}

    def material(self, material: Material, has_alpha: bool) -> int:
        """Writes a material; its alpha values decide the alpha mode."""
        red, green, blue, alpha = material.base_color
        linear = [float(value) for value in srgb_to_linear(np.array([red, green, blue]))]
        pbr: dict[str, Any] = {
            "baseColorFactor": [*linear, alpha],
            "metallicFactor": 0.0,
            "roughnessFactor": 0.9,
        }
        written: dict[str, Any] = {"pbrMetallicRoughness": pbr, "doubleSided": True}
        only_holes = not has_alpha and alpha in (0.0, 1.0)
        if material.texture is not None:
            pbr["baseColorTexture"] = {"index": self._texture(material)}
            opacity = material.texture[..., 3]
            has_alpha = has_alpha or bool((opacity < 1.0).any())
            only_holes = only_holes and bool(((opacity == 0.0) | (opacity == 1.0)).all())
        if has_alpha or alpha < 1.0:
            written["alphaMode"] = "MASK" if only_holes else "BLEND"
        if material.unlit:
            written["extensions"] = {"KHR_materials_unlit": {}}
        self.header["materials"].append(written)
        return len(self.header["materials"]) - 1

    def _texture(self, material: Material) -> int:
        key = id(material.texture)
        if key not in self._pictures and material.texture is not None:
            view = self._view(texture_png(material.texture))
            images = self.header.setdefault("images", [])
            images.append({"bufferView": view, "mimeType": "image/png"})
            self.header["samplers"] = [{"magFilter": 9729, "minFilter": 9987}]
            textures = self.header.setdefault("textures", [])
            textures.append({"source": len(images) - 1, "sampler": 0})
            self._pictures[key] = len(textures) - 1
        return self._pictures[key]

    def _accessor(self, values: np.ndarray, bounds: bool) -> int:
        accessor: dict[str, Any] = {
            "bufferView": self._view(np.ascontiguousarray(values).tobytes(), _VERTICES),
            "componentType": _FLOAT,
            "count": len(values),
            "type": _TYPES[values.shape[1]],
        }
        if bounds:
            accessor["min"] = [float(value) for value in values.min(0)]
            accessor["max"] = [float(value) for value in values.max(0)]
        self.header["accessors"].append(accessor)
        return len(self.header["accessors"]) - 1

    def _indices(self, indices: np.ndarray) -> int:
        view = self._view(indices.astype("<u4").tobytes(), _INDICES)
        self.header["accessors"].append(
            {"bufferView": view, "componentType": _UINT, "count": len(indices), "type": "SCALAR"}
        )
        return len(self.header["accessors"]) - 1

    def _view(self, data: bytes, target: int | None = None) -> int:
        view = {"buffer": 0, "byteOffset": len(self.buffer), "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        self.buffer += data + b"\0" * (-len(data) % 4)
        self.views.append(view)
        return len(self.views) - 1


def texture_png(texture: Float[Tensor, "H W 4"]) -> bytes:
    """A texture as PNG, without its alpha channel where nothing is transparent."""
    pixels = (texture.clamp(0.0, 1.0) * 255.0).round().byte().cpu().numpy()
    opaque = bool((pixels[..., 3] == 255).all())
    png = io.BytesIO()
    Image.fromarray(pixels[..., :3] if opaque else pixels).save(png, format="PNG")
    return png.getvalue()


def unit_normals(mesh: TriangleMesh, faces: np.ndarray) -> np.ndarray:
    """Corner normals made exactly unit; corners without one take their face's.

    Args:
        mesh: The mesh.
        faces: Indices of the faces whose corners are asked for.

    Returns:
        ``3 len(faces) x 3``, float64.
    """
    normals = mesh.corner_normals.numpy()[faces].astype(np.float64)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    a, b, c = mesh.vertices.numpy()[mesh.faces.numpy()[faces]].astype(np.float64).transpose(1, 0, 2)
    cross = np.cross(b - a, c - a)
    area = np.linalg.norm(cross, axis=-1, keepdims=True)
    flat = np.where(area > 0, cross / np.maximum(area, 1e-30), (0.0, 1.0, 0.0))[:, None]
    return np.where(length > 1e-6, normals / np.maximum(length, 1e-6), flat).reshape(-1, 3)
