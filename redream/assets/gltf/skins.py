"""glTF skins at rest: where a mesh's joints put its vertices.

By the specification a skinned mesh is placed by its joints alone, and its own node's transform is
ignored; a reader that does the opposite lays characters on their backs.
"""

import numpy as np

from redream.assets.gltf.accessors import Accessors
from redream.assets.gltf.header import Json
from redream.assets.gltf.nodes import world_transforms


def skin_matrices(header: Json, accessors: Accessors) -> list[np.ndarray]:
    """For each skin ``J 4 4``: from a vertex at rest to the world, joint by joint.

    Raises:
        ValueError: If a skin has fewer bind matrices than joints.
    """
    if not header.get("skins"):
        return []
    world = world_transforms(header["nodes"])
    skins = []
    for skin in header["skins"]:
        joints = np.stack([world[joint] for joint in skin["joints"]])
        if "inverseBindMatrices" in skin:
            bind = accessors.floats(skin["inverseBindMatrices"]).reshape(-1, 4, 4)
            if len(bind) < len(joints):
                raise ValueError(f"a skin has {len(joints)} joints and {len(bind)} bind matrices")
            joints = joints @ bind[: len(joints)].transpose(0, 2, 1)
        skins.append(joints)
    return skins


def blend_joints(skin: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Each vertex's own transform, ``V 4 4``: the weighted mean of its joints' (linear blending).

    Args:
        skin: ``J 4 4`` of :func:`skin_matrices`.
        joints: ``V N`` indices of joints.
        weights: ``V N`` weights; their sum need not be 1. Without any weight the first joint
            counts.
    """
    weights = np.where(np.isfinite(weights) & (weights > 0.0), weights, 0.0)
    total = weights.sum(axis=1, keepdims=True)
    first = np.arange(weights.shape[1]) == 0
    weights = np.where(total > 0.0, weights / np.where(total > 0.0, total, 1.0), first)
    blended = np.zeros((len(weights), 4, 4))
    for influence in range(weights.shape[1]):
        blended += weights[:, influence, None, None] * skin[joints[:, influence].astype(np.int64)]
    return blended
