"""glTF skins at rest: where a mesh's joints put its vertices.

By the specification a skinned mesh is placed by its joints alone, and its own node's transform is
ignored; a reader that does the opposite lays characters on their backs.
"""

import base64
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from redream.assets.beside import read_beside

Json = dict[str, Any]


def skin_matrices(header: Json, binary: bytes, path: Path) -> list[np.ndarray]:
    """For each skin ``J 4 4``: from a vertex at rest to the world, joint by joint.

    Args:
        header: The file's JSON.
        binary: A GLB's binary chunk; empty for ``.gltf``.
        path: The file, beside which a ``.gltf`` has its buffers.

    Raises:
        ValueError: If a skin points to what is not there.
    """
    if not header.get("skins"):
        return []
    world = _world_transforms(header["nodes"])
    skins = []
    for skin in header["skins"]:
        joints = np.stack([world[joint] for joint in skin["joints"]])
        if "inverseBindMatrices" in skin:
            bind = _matrices(header, skin["inverseBindMatrices"], binary, path)
            if len(bind) < len(joints):
                raise ValueError(f"a skin has {len(joints)} joints and {len(bind)} bind matrices")
            joints = joints @ bind[: len(joints)]
        skins.append(joints)
    return skins


def blend_joints(skin: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Each vertex's own transform, ``V 4 4``: the weighted mean of its joints' (linear blending).

    Args:
        skin: ``J 4 4`` of :func:`skin_matrices`.
        joints: ``V 4`` indices of joints.
        weights: ``V 4`` weights; their sum need not be 1. Without any weight the first joint
            counts.
    """
    weights = np.where(np.isfinite(weights) & (weights > 0.0), weights, 0.0)
    total = weights.sum(axis=1, keepdims=True)
    weights = np.where(total > 0.0, weights / np.where(total > 0.0, total, 1.0), (1, 0, 0, 0))
    blended = np.zeros((len(weights), 4, 4))
    for influence in range(weights.shape[1]):
        blended += weights[:, influence, None, None] * skin[joints[:, influence].astype(np.int64)]
    return blended


def _world_transforms(nodes: list[Json]) -> dict[int, np.ndarray]:
    """The world transform of every node that hangs on a root."""
    children = {child for node in nodes for child in node.get("children", ())}
    waiting = [(number, np.eye(4)) for number in range(len(nodes)) if number not in children]
    world: dict[int, np.ndarray] = {}
    while waiting:
        number, above = waiting.pop()
        if number not in world:
            world[number] = above @ _local_transform(nodes[number])
            waiting += [(child, world[number]) for child in nodes[number].get("children", ())]
    return world


def _local_transform(node: Json) -> np.ndarray:
    """A node's matrix, or what its translation, rotation and scale make."""
    if "matrix" in node:
        return np.asarray(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = np.asarray(node.get("rotation", (0.0, 0.0, 0.0, 1.0)), dtype=np.float64)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    transform = np.eye(4)
    transform[:3, :3] = rotation * np.asarray(node.get("scale", (1.0, 1.0, 1.0)))
    transform[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return transform


def _matrices(header: Json, number: int, binary: bytes, path: Path) -> np.ndarray:
    """Reads an accessor of 4 x 4 matrices."""
    accessor = header["accessors"][number]
    view = header["bufferViews"][accessor["bufferView"]]
    uri = header["buffers"][view["buffer"]].get("uri")
    if uri is None:
        data = binary
    elif uri.startswith("data:"):
        data = base64.b64decode(uri.partition(",")[2])
    else:
        data = read_beside(path, unquote(uri))
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    floats = np.frombuffer(data, dtype="<f4", count=16 * accessor["count"], offset=start)
    return floats.astype(np.float64).reshape(-1, 4, 4).transpose(0, 2, 1)
