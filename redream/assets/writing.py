"""Writes a mesh as a binary glTF file that Khronos's validator accepts."""

import io
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from redream.assets.color import srgb_to_linear
from redream.assets.credits import node_extras
from redream.files import whole_file
from redream.types import Material, Sampler, TriangleMesh, Wrap

_FLOAT, _UINT, _VERTICES, _INDICES = 5126, 5125, 34962, 34963
_TYPES = {2: "VEC2", 3: "VEC3", 4: "VEC4"}
_NEAREST, _LINEAR, _MIPMAPS = 9728, 9729, 9987
_WRAPS: dict[Wrap, int] = {"repeat": 10497, "clamp": 33071, "mirror": 33648}


def write_glb(
    path: str | Path, mesh: TriangleMesh, extras: Mapping[str, Any] | None = None
) -> None:
    """Writes a mesh: a node for each of its own, a primitive per material; textures are PNG.

    The file appears complete or not at all.

    Args:
        path: The ``.glb`` file.
        mesh: The mesh.
        extras: What to say in ``asset.extras``, and in words on each of the nodes: author, license,
            source, title, attribution.

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
    has_alpha = mesh.corner_colors[..., 3].amin(1) < 1.0
    written = [
        writer.material(material, bool(has_alpha[mesh.face_materials == index].any()))
        for index, material in enumerate(mesh.materials)
    ]
    words = {"extras": node_extras(extras)} if extras else {}
    nodes: list[dict[str, Any]] = []
    meshes: list[dict[str, Any]] = []
    for name, shown in node_faces(mesh):
        primitives = []
        for index, number in enumerate(written):
            faces = (shown & (mesh.face_materials == index)).nonzero()[:, 0].numpy()
            if len(faces) > 0:
                primitives.append({"material": number, **writer.primitive(mesh, faces)})
        if primitives:
            named = {"name": name} if name else {}
            nodes.append({"mesh": len(meshes), **named, **words})
            meshes.append({"primitives": primitives, **named})
    asset: dict[str, Any] = {"version": "2.0", "generator": "ReDream"}
    if extras:
        asset["extras"] = dict(extras)
    header = {
        "asset": asset,
        "scene": 0,
        "scenes": [{"nodes": list(range(len(nodes)))}],
        "nodes": nodes,
        "meshes": meshes,
        **writer.header,
        "bufferViews": writer.views,
        "buffers": [{"byteLength": len(writer.buffer)}],
    }
    if writer.extensions:
        header["extensionsUsed"] = sorted(writer.extensions)
    return glb_container(header, bytes(writer.buffer))


def glb_container(header: Mapping[str, Any], binary: bytes) -> bytes:
    """A glTF header and its one buffer as a GLB file.

    Args:
        header: The JSON.
        binary: The buffer, of a length that four divides.
    """
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    return (
        b"glTF"
        + struct.pack("<IIII", 2, total, len(text), 0x4E4F534A)
        + text
        + struct.pack("<II", len(binary), 0x004E4942)
        + binary
    )


def node_faces(mesh: TriangleMesh) -> Iterator[tuple[str, Bool[Tensor, " F"]]]:
    """The names of a mesh's nodes with the faces that they show; one without a name without any."""
    if mesh.face_nodes is None or not mesh.nodes:
        yield "", torch.ones(len(mesh.faces), dtype=torch.bool)
        return
    for number, name in enumerate(mesh.nodes):
        yield name, mesh.face_nodes == number


class _Writer:
    """Collects the binary buffer and the JSON lists that point into it."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.views: list[dict[str, Any]] = []
        self.header: dict[str, list[Any]] = {"accessors": [], "materials": []}
        self.extensions: set[str] = set()
        self._images: dict[int, int] = {}

    def primitive(self, mesh: TriangleMesh, faces: np.ndarray) -> dict[str, Any]:
        """Writes triangles of one material and node; equal corners are shared."""
        has_texture = mesh.materials[int(mesh.face_materials[faces[0]])].has_texture
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
            pbr["baseColorTexture"] = self._texture(material.texture, material.sampler)
            opacity = material.texture[..., 3]
            has_alpha = has_alpha or bool((opacity < 1.0).any())
            only_holes = only_holes and bool(((opacity == 0.0) | (opacity == 1.0)).all())
        if has_alpha or alpha < 1.0:
            written["alphaMode"] = "MASK" if only_holes else "BLEND"
        if material.unlit:
            self.extensions.add("KHR_materials_unlit")
            written["extensions"] = {"KHR_materials_unlit": {}}
        elif material.emits:
            written |= self._emission(material)
        if material.name:
            written["name"] = material.name
        self.header["materials"].append(written)
        return len(self.header["materials"]) - 1

    def _emission(self, material: Material) -> dict[str, Any]:
        """The light that a material gives out; what is above 1 is a strength."""
        strength = max(1.0, *material.emission)
        written: dict[str, Any] = {"emissiveFactor": [e / strength for e in material.emission]}
        if material.emission_texture is not None:
            alike = torch.ones_like(material.emission_texture[..., :1])
            glow = torch.cat([material.emission_texture, alike], dim=-1)
            written["emissiveTexture"] = self._texture(
                glow, material.sampler, id(material.emission_texture)
            )
        if strength > 1.0:
            name = "KHR_materials_emissive_strength"
            self.extensions.add(name)
            written["extensions"] = {name: {"emissiveStrength": strength}}
        return written

    def _texture(
        self, picture: Float[Tensor, "H W 4"], sampler: Sampler, key: int | None = None
    ) -> dict[str, int]:
        """Writes a texture; a picture that comes again is written once, and so is a pair."""
        key = id(picture) if key is None else key
        if key not in self._images:
            view = self._view(texture_png(picture))
            images = self.header.setdefault("images", [])
            images.append({"bufferView": view, "mimeType": "image/png"})
            self._images[key] = len(images) - 1
        magnified, smaller = (_NEAREST, _NEAREST) if sampler.nearest else (_LINEAR, _MIPMAPS)
        written: dict[str, Any] = {"magFilter": magnified, "minFilter": smaller}
        for name, wrap in (("wrapS", sampler.wrap_u), ("wrapT", sampler.wrap_v)):
            if wrap != "repeat":
                written[name] = _WRAPS[wrap]
        pair = {
            "source": self._images[key],
            "sampler": _place(self.header.setdefault("samplers", []), written),
        }
        return {"index": _place(self.header.setdefault("textures", []), pair)}

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


def _place(listed: list[dict[str, Any]], wanted: dict[str, Any]) -> int:
    """Where something is in a list, at whose end it is put where it is not yet."""
    if wanted not in listed:
        listed.append(wanted)
    return listed.index(wanted)


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
