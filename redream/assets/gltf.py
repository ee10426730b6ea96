"""What a glTF file says in its JSON, and how we hand it to trimesh without loss.

trimesh reads buffers, images and the node graph. Left alone it would quantise colours, flip
texture coordinates and read normalised integers as they are, so the attributes are renamed to
custom ones (``_UV``, ``_COLOR``, ``_NORMAL``, ...), which it returns untouched.
"""

import io
import json
import logging
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np
import trimesh

from redream.assets.beside import FilesBeside
from redream.assets.gltf_bounds import check_bounds
from redream.assets.gltf_skins import Json, skin_matrices
from redream.pictures import known_formats_only

_log = logging.getLogger(__name__)

_MAGIC, _JSON, _TRIANGLE_MODES = b"glTF", 0x4E4F534A, (4, 5)
_SUPPORTED_EXTENSIONS = (
    "KHR_materials_",
    "KHR_texture_transform",
    "KHR_lights_",
    "KHR_mesh_quantization",
    "EXT_texture_webp",
)
_NORMALISED_MAX = {5120: 127.0, 5121: 255.0, 5122: 32767.0, 5123: 65535.0}
_ALWAYS_NORMALISED = ("_COLOR", "_WEIGHTS")  # integers mean nothing else, flagged or not
_SKIN_ATTRIBUTES = {"JOINTS_0": "_JOINTS", "WEIGHTS_0": "_WEIGHTS"}


@dataclass(frozen=True)
class Primitive:
    """One drawable of a glTF file.

    Attributes:
        geometry: Vertices, faces and the raw attributes, as trimesh holds them.
        material: The primitive's material as the file's JSON has it; empty where it has none.
        picture: The base-colour texture as a PIL image, or None.
        skin: ``J 4 4``, from a vertex at rest to the world for each joint; None without a skin.
        divisors: What the integers of an attribute are divided by, by the attribute's name.
    """

    geometry: trimesh.Trimesh
    material: Json
    picture: Any
    skin: np.ndarray | None
    divisors: dict[str, float]

    @property
    def vertices(self) -> np.ndarray:
        """Positions, ``V 3``."""
        return np.asarray(self.geometry.vertices, dtype=np.float64) / self.divisors["POSITION"]

    def attribute(self, name: str) -> np.ndarray | None:
        """A vertex attribute as floats (normalised integers become [0, 1]), or None."""
        values = self.geometry.vertex_attributes.get(name)
        if values is None:
            return None
        return np.asarray(values).astype(np.float64) / self.divisors[name]


class _Drawn(NamedTuple):
    """What the JSON says of a triangle primitive: material, index of the skin, divisors."""

    material: Json
    skin: int | None
    divisors: dict[str, float]


def read_header(path: Path) -> Json:
    """Reads the JSON of a ``.glb`` or ``.gltf`` file, without its buffers.

    Raises:
        ValueError: If the file is not glTF 2.0 or is cut short.
    """
    return _read(path, with_buffers=False)[0]


def _read(path: Path, with_buffers: bool) -> tuple[Json, bytes]:
    """The JSON of a glTF file and the chunks that follow it."""
    rest = b""
    if path.suffix.lower() == ".gltf":
        text = path.read_bytes()
    else:
        with path.open("rb") as file:
            head = file.read(20)
            if len(head) < 20 or head[:4] != _MAGIC:
                raise ValueError("it is not a GLB file")
            version, length, json_length, kind = struct.unpack("<IIII", head[4:])
            size = path.stat().st_size
            if version != 2 or kind != _JSON:
                raise ValueError(f"it is glTF version {version}, and only version 2 is read")
            if size < length:
                raise ValueError(f"it is cut short ({size} of {length} bytes)")
            text = file.read(json_length)
            rest = file.read() if with_buffers else b""
    try:
        header = json.loads(text)
    except ValueError as error:
        raise ValueError("its JSON is broken") from error
    if not isinstance(header, dict):
        raise ValueError("its JSON is not an object")
    return header, rest


def read_primitives(path: Path) -> tuple[trimesh.Scene, dict[str, Primitive]]:
    """Reads a ``.glb`` or ``.gltf`` file.

    Line and point primitives are left out, and textures that cannot be read, with a note in the
    log.

    Args:
        path: The file.

    Returns:
        The scene (for its node graph) and its primitives by geometry name.

    Raises:
        ValueError: If the file needs an extension that is not read, or is broken.
    """
    header, buffers = _read(path, with_buffers=True)
    check_bounds(header, path, path.stat().st_size)
    for extension in header.get("extensionsRequired", []):
        if not extension.startswith(_SUPPORTED_EXTENSIONS):
            raise ValueError(f"it needs the glTF extension {extension}, which is not read")
    drawn, num_skipped = _prepare(header)
    if num_skipped:
        _log.warning("%s: skipped %d line or point primitives", path.name, num_skipped)
    skins = skin_matrices(header, buffers[8:], path)
    kind, text = "gltf", json.dumps(header).encode()
    if path.suffix.lower() != ".gltf":
        kind, text = "glb", text + b" " * (-len(text) % 4)
        head = _MAGIC + struct.pack("<IIII", 2, 20 + len(text) + len(buffers), len(text), _JSON)
        text = head + text + buffers
    beside = FilesBeside(path)
    with known_formats_only():
        scene = trimesh.load_scene(io.BytesIO(text), file_type=kind, resolver=beside)
    geometries = scene.geometry
    if len(geometries) != len(drawn):
        raise ValueError(f"{len(geometries)} of its {len(drawn)} primitives were read")
    primitives, num_unread = {}, 0
    for (name, geometry), each in zip(geometries.items(), drawn, strict=True):
        picture = geometry.visual.material.baseColorTexture
        named = "baseColorTexture" in each.material.get("pbrMetallicRoughness", {})
        num_unread += picture is None and named
        skin = None if each.skin is None else skins[each.skin]
        primitives[name] = Primitive(geometry, each.material, picture, skin, each.divisors)
    if num_unread:
        _log.warning("%s: %d primitives without their texture: unread", path.name, num_unread)
    return scene, primitives


def _prepare(header: Json) -> tuple[list[_Drawn], int]:
    """Rewrites the JSON in place for trimesh.

    Returns:
        The triangle primitives in file order, and how many others were removed.

    Raises:
        ValueError: If positions are not in a buffer.
    """
    for file in (*header.get("buffers", []), *header.get("images", [])):
        if "uri" in file and not file["uri"].startswith("data:"):
            file["uri"] = unquote(file["uri"])
    skinned = {
        node["mesh"]: node["skin"]
        for node in header.get("nodes", [])
        if "skin" in node and "mesh" in node
    }
    materials = header.setdefault("materials", [])
    for material in materials:
        _to_metallic_roughness(material)
    num_skipped, drawn = 0, []
    for number, mesh in enumerate(header.get("meshes", [])):
        kept = [p for p in mesh["primitives"] if p.get("mode", 4) in _TRIANGLE_MODES]
        num_skipped += len(mesh["primitives"]) - len(kept)
        mesh["primitives"] = kept
        for primitive in kept:
            if "material" not in primitive:
                primitive["material"] = len(materials)
                materials.append({})
            material = materials[primitive["material"]]
            texture = material.get("pbrMetallicRoughness", {}).get("baseColorTexture", {})
            renamed = {f"TEXCOORD_{texture.get('texCoord', 0)}": "_UV", "COLOR_0": "_COLOR"}
            renamed["NORMAL"] = "_NORMAL"
            if number in skinned:
                renamed |= _SKIN_ATTRIBUTES
            kept_names = {"POSITION", *renamed}
            primitive["attributes"] = {
                renamed.get(name, name): accessor
                for name, accessor in primitive["attributes"].items()
                if name in kept_names
            }
            divisors = {
                name: _divisor(name, header["accessors"][accessor])
                for name, accessor in primitive["attributes"].items()
            }
            drawn.append(_Drawn(material, skinned.get(number), divisors))
    for node in header.get("nodes", []):
        node.pop("camera", None)
    if not header.get("scenes"):
        children = {child for node in header.get("nodes", []) for child in node.get("children", [])}
        roots = [i for i in range(len(header.get("nodes", []))) if i not in children]
        header["scenes"] = [{"nodes": roots}]
        header["scene"] = 0
    return drawn, num_skipped


def _divisor(name: str, accessor: Json) -> float:
    """What turns an accessor's integers into its values; 1 for floats and true integers."""
    if name == "POSITION" and ("bufferView" not in accessor or "sparse" in accessor):
        raise ValueError("its positions are sparse or compressed, which is not read")
    if accessor.get("normalized") or name in _ALWAYS_NORMALISED:
        return _NORMALISED_MAX.get(accessor["componentType"], 1.0)
    return 1.0


def _to_metallic_roughness(material: Json) -> None:
    """Rewrites the old specular-glossiness workflow, which much of Objaverse has, in place."""
    glossy = material.get("extensions", {}).pop("KHR_materials_pbrSpecularGlossiness", None)
    if glossy is not None:
        renamed = {"diffuseFactor": "baseColorFactor", "diffuseTexture": "baseColorTexture"}
        material["pbrMetallicRoughness"] = {
            new: glossy[old] for old, new in renamed.items() if old in glossy
        }
