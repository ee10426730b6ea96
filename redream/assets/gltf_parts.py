"""A glTF file's primitives with their materials, placed in the world."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from redream.assets.color import linear_to_srgb
from redream.assets.gltf import Primitive, read_primitives
from redream.assets.gltf_skins import Json, blend_joints
from redream.assets.parts import Part, place, placed
from redream.assets.textures import Textures
from redream.types import Material


def gltf_parts(path: Path) -> Iterator[Part]:
    """Reads the parts of a ``.glb`` or ``.gltf`` file, colours encoded as sRGB."""
    scene, primitives = read_primitives(path)
    textures = Textures([p.picture for p in primitives.values() if p.picture is not None])
    materials: dict[int, Material] = {}  # shared by primitives, so that few are drawn
    for transform, name in placed(scene):
        primitive = primitives[name]
        vertices, normals = primitive.vertices, primitive.attribute("_NORMAL")
        joints, weights = primitive.attribute("_JOINTS"), primitive.attribute("_WEIGHTS")
        if primitive.skin is not None and joints is not None and weights is not None:
            transform = np.eye(4)  # the joints place the mesh, its node does not
            posed = blend_joints(primitive.skin, joints, weights)
            vertices = np.einsum("vij,vj->vi", posed[:, :3, :3], vertices) + posed[:, :3, 3]
            if normals is not None:
                normals = np.einsum("vij,vj->vi", posed[:, :3, :3], normals)
        colors = primitive.attribute("_COLOR")
        if colors is not None:
            colors = np.concatenate([linear_to_srgb(colors[:, :3]), colors[:, 3:]], axis=1)
        uvs = primitive.attribute("_UV")
        if uvs is not None:
            uvs = _transform_uvs(uvs, primitive.material)
        if id(primitive.material) not in materials:
            materials[id(primitive.material)] = _gltf_material(primitive, textures)
        yield place(
            transform,
            vertices,
            np.asarray(primitive.geometry.faces),
            normals,
            uvs,
            colors,
            materials[id(primitive.material)],
            keep_vertex_alpha=primitive.material.get("alphaMode") == "BLEND",
        )


def _gltf_material(primitive: Primitive, textures: Textures) -> Material:
    """A glTF material; its alpha mode is written into the alpha values."""
    material = primitive.material
    pbr = material.get("pbrMetallicRoughness", {})
    factor = np.asarray(pbr.get("baseColorFactor", (1.0, 1.0, 1.0, 1.0)), dtype=np.float64)
    red, green, blue = (float(value) for value in linear_to_srgb(factor[:3]))
    alpha = float(factor[3])
    texture = None
    if primitive.picture is not None:
        texture = textures.of(primitive.picture)
    mode = material.get("alphaMode", "OPAQUE")
    if mode != "BLEND":
        cutoff = float(material.get("alphaCutoff", 0.5)) if mode == "MASK" else -math.inf
        if texture is None:
            alpha = 1.0 if alpha >= cutoff else 0.0
        else:
            visible = (texture[..., 3:] * alpha >= cutoff).to(texture.dtype)
            texture, alpha = torch.cat([texture[..., :3], visible], dim=-1), 1.0
    unlit = "KHR_materials_unlit" in material.get("extensions", {})
    return Material((red, green, blue, alpha), texture, unlit)


def _transform_uvs(uvs: np.ndarray, material: Json) -> np.ndarray:
    """Applies ``KHR_texture_transform`` of the base-colour texture."""
    texture = material.get("pbrMetallicRoughness", {}).get("baseColorTexture", {})
    transform = texture.get("extensions", {}).get("KHR_texture_transform")
    if transform is None:
        return uvs
    angle = float(transform.get("rotation", 0.0))
    scaled = uvs * np.asarray(transform.get("scale", (1.0, 1.0)))
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned: np.ndarray = scaled @ rotation.T
    return turned + np.asarray(transform.get("offset", (0.0, 0.0)), dtype=np.float64)
