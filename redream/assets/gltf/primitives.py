"""The triangles of a glTF primitive with their attributes, at rest and morphed."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from redream.assets.gltf.accessors import Accessors
from redream.assets.gltf.compressed import CONVERT, DRACO, draco_primitive
from redream.assets.gltf.header import Json
from redream.assets.gltf.nodes import TRIANGLE_MODES, triangles
from redream.assets.gltf.skins import blend_joints

_FRACTIONS = ("COLOR_", "WEIGHTS_")  # integers mean nothing else, flagged or not


class Primitive(NamedTuple):
    """Triangles of one material in their mesh's own frame.

    Attributes:
        faces: ``F 3``.
        vertices: ``V 3`` positions.
        normals: ``V 3``, or None.
        uvs: ``V 2`` by their number.
        colors: ``V 3`` or ``V 4`` in linear light, or None.
        joints: ``V 4`` indices into a skin, or 8 columns with a second set; None without.
        weights: Of the joints.
    """

    faces: np.ndarray
    vertices: np.ndarray
    normals: np.ndarray | None
    uvs: dict[int, np.ndarray]
    colors: np.ndarray | None
    joints: np.ndarray | None
    weights: np.ndarray | None

    def posed(self, skin: np.ndarray) -> "Primitive":
        """Where the joints of a skin put it, if it has weights for them."""
        if self.joints is None or self.weights is None:
            return self
        own = blend_joints(skin, self.joints, self.weights)
        vertices = np.einsum("vij,vj->vi", own[:, :3, :3], self.vertices) + own[:, :3, 3]
        normals = self.normals
        if normals is not None:
            normals = np.einsum("vij,vj->vi", own[:, :3, :3], normals)
        return self._replace(vertices=vertices, normals=normals)


def read_primitive(
    header: Json, accessors: Accessors, primitive: Json, morph_weights: Sequence[float]
) -> Primitive | None:
    """Reads a primitive.

    Args:
        header: The file's JSON.
        accessors: The file's buffers.
        primitive: The primitive's JSON.
        morph_weights: How much of each morph target is added.

    Returns:
        The triangles; None where it has none, being of lines or points or without positions.

    Raises:
        ValueError: If it is broken, or compressed in a way that is not read here.
    """
    mode = primitive.get("mode", 4)
    if mode not in TRIANGLE_MODES or "POSITION" not in primitive["attributes"]:
        return None
    decoded, faces = _decoded(header, accessors, primitive)

    def read(name: str, number: int) -> np.ndarray:
        is_fraction = name.startswith(_FRACTIONS)
        if name in decoded:
            return accessors.as_floats(number, decoded[name], is_fraction)
        return accessors.floats(number, is_fraction)

    found = _morphed(primitive, morph_weights, read, accessors)
    vertices = found["POSITION"]
    if faces is None:
        indices = np.arange(len(vertices))
        if "indices" in primitive:
            indices = accessors.values(primitive["indices"])[:, 0].astype(np.int64)
        faces = triangles(mode, indices)
    if len(faces) and faces.max() >= len(vertices):
        raise ValueError(f"an index is {faces.max()} where there are {len(vertices)} vertices")
    return Primitive(
        faces,
        vertices,
        found.get("NORMAL"),
        {int(name[9:]): uvs for name, uvs in found.items() if name.startswith("TEXCOORD_")},
        found.get("COLOR_0"),
        _sets(found, "JOINTS_"),
        _sets(found, "WEIGHTS_"),
    )


def _decoded(
    header: Json, accessors: Accessors, primitive: Json
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """What Draco holds of a primitive: attributes and faces; nothing where it holds nothing."""
    extension = primitive.get("extensions", {}).get(DRACO)
    if extension is None:
        return {}, None
    found = draco_primitive(extension, accessors.view(extension["bufferView"]))
    if found is not None:
        return found
    if "bufferView" in header["accessors"][primitive["attributes"]["POSITION"]]:
        return {}, None  # the file has the plain triangles, too
    raise ValueError(f"its meshes are compressed by Draco: {CONVERT}")


def _morphed(
    primitive: Json,
    morph_weights: Sequence[float],
    read: Callable[[str, int], np.ndarray],
    accessors: Accessors,
) -> dict[str, np.ndarray]:
    """The attributes that are used, with the morph targets' shares added."""
    used = ("POSITION", "NORMAL", "TEXCOORD_", "COLOR_0", "JOINTS_", "WEIGHTS_")
    found = {
        name: read(name, number)
        for name, number in primitive["attributes"].items()
        if name.startswith(used)
    }
    for weight, target in zip(morph_weights, primitive.get("targets", ()), strict=False):
        for name, number in target.items() if weight else ():
            if name in found:
                delta = accessors.floats(number, name.startswith(_FRACTIONS))
                found[name] = found[name] + float(weight) * delta[:, : found[name].shape[1]]
    return found


def _sets(found: dict[str, np.ndarray], name: str) -> np.ndarray | None:
    columns = [found[key] for key in sorted(found) if key.startswith(name)]
    return np.concatenate(columns, axis=1) if columns else None
