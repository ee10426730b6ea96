"""A glTF file's primitives with their materials, placed in the world."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from redream.assets.color import linear_to_srgb
from redream.assets.gltf.accessors import Accessors
from redream.assets.gltf.bounds import check_bounds
from redream.assets.gltf.extensions import left_out, require_known
from redream.assets.gltf.header import Json, read_whole
from redream.assets.gltf.materials import Materials, ShownMaterial, UvSet
from redream.assets.gltf.nodes import ShownNode, rotation_matrices, shown_nodes, world_transforms
from redream.assets.gltf.primitives import Primitive, read_primitive
from redream.assets.gltf.skins import skin_matrices
from redream.assets.losses import name_losses
from redream.assets.parts import Part, place


def gltf_parts(path: Path) -> Iterator[Part]:
    """Reads the parts of a ``.glb`` or ``.gltf`` file, colours encoded as sRGB.

    What is not shown as the file says is named in the log, a line a kind: lines and points,
    pictures that cannot be read, extensions that are not honoured.

    Raises:
        ValueError: If the file needs an extension that is not read, or is broken.
    """
    header, binary = read_whole(path)
    check_bounds(header, path, path.stat().st_size)
    require_known(header)
    accessors = Accessors(header, binary, path)
    materials = Materials(header, accessors, path)
    skins = skin_matrices(header, accessors)
    world = world_transforms(header.get("nodes", []))
    read: dict[object, Primitive | None] = {}
    num_skipped: set[object] = set()
    for shown in shown_nodes(header):
        mesh = header["meshes"][shown.mesh]
        weights = tuple(shown.node.get("weights", mesh.get("weights", ())))
        skin = shown.node.get("skin")
        for number, described in enumerate(mesh["primitives"]):
            key = shown.mesh, number, weights
            if key not in read:
                read[key] = read_primitive(header, accessors, described, weights)
            primitive = read[key]
            if primitive is None:
                num_skipped.add(key[:2])
                continue
            transforms = _transforms(shown, world[shown.number], accessors)
            if skin is not None and primitive.joints is not None:
                primitive = primitive.posed(skins[skin])
                transforms = [np.eye(4)]  # the joints place the mesh, its node does not
            material = materials.of(described.get("material"))
            for transform in transforms:
                yield _part(primitive, transform, material, shown.name)
    losses = []
    if num_skipped:
        losses.append(f"skipped {len(num_skipped)} line or point primitives")
    if unhonoured := left_out(header):
        losses.append(f"shown without {', '.join(unhonoured)}")
    name_losses(path, [*losses, *materials.lost()])


def _part(primitive: Primitive, transform: np.ndarray, shown: ShownMaterial, name: str) -> Part:
    colors = primitive.colors
    if colors is not None:
        alpha = colors[:, 3:]
        if shown.cutoff is not None:
            alpha = (alpha >= shown.cutoff).astype(np.float64)
        colors = np.concatenate([linear_to_srgb(colors[:, :3]), alpha], axis=1)
    return place(
        transform,
        primitive.vertices,
        primitive.faces,
        primitive.normals,
        _texture_coordinates(primitive, shown.uvs),
        colors,
        shown.material,
        name,
    )


def _transforms(shown: ShownNode, world: np.ndarray, accessors: Accessors) -> list[np.ndarray]:
    """Where a node shows its mesh: once, or at its instances (``EXT_mesh_gpu_instancing``)."""
    instancing: Json | None = shown.node.get("extensions", {}).get("EXT_mesh_gpu_instancing")
    if instancing is None:
        return [world]
    found = {
        name: accessors.floats(number)
        for name, number in instancing.get("attributes", {}).items()
        if name in ("TRANSLATION", "ROTATION", "SCALE")
    }
    num = min((len(values) for values in found.values()), default=1)
    own = np.tile(np.eye(4), (num, 1, 1))
    if "ROTATION" in found:
        own[:, :3, :3] = rotation_matrices(found["ROTATION"][:num])
    if "SCALE" in found:
        own[:, :3, :3] *= found["SCALE"][:num, None]
    if "TRANSLATION" in found:
        own[:, :3, 3] = found["TRANSLATION"][:num]
    return [world @ each for each in own]


def _texture_coordinates(primitive: Primitive, wanted: UvSet | None) -> np.ndarray | None:
    """The coordinates that a material's textures take, transformed; an untextured one keeps 0's."""
    if wanted is None:
        return primitive.uvs.get(0)
    uvs = primitive.uvs.get(wanted.number)
    if uvs is None or wanted.transform is None:
        return uvs
    transform = wanted.transform
    angle = float(transform.get("rotation", 0.0))
    scaled = uvs * np.asarray(transform.get("scale", (1.0, 1.0)))
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned: np.ndarray = scaled @ rotation.T
    return turned + np.asarray(transform.get("offset", (0.0, 0.0)), dtype=np.float64)
