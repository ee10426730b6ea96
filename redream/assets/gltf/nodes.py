"""What a glTF file shows: the nodes of its scene, where they stand, and their triangles.

Whoever counts triangles counts them here, so that bounds, filters and annotations agree with what
is drawn.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from redream.assets.gltf.header import Json

_TRIANGLES, _STRIP, _FAN = 4, 5, 6
TRIANGLE_MODES = (_TRIANGLES, _STRIP, _FAN)


class ShownNode(NamedTuple):
    """A node of the scene with a mesh.

    Attributes:
        node: The node's JSON.
        name: Its name, else the mesh's; may be empty.
        number: Index of the node.
        mesh: Index of its mesh.
    """

    node: Json
    name: str
    number: int
    mesh: int


def shown_nodes(header: Json) -> Iterator[ShownNode]:
    """The nodes with meshes of the default scene, else of the first, else all; in file order.

    What ``KHR_node_visibility`` hides is left out.
    """
    for number in sorted(_visible(header)):
        node = header["nodes"][number]
        if "mesh" in node:
            mesh = header["meshes"][node["mesh"]]
            name = node.get("name") or mesh.get("name") or ""
            yield ShownNode(node, str(name), number, node["mesh"])


def _visible(header: Json) -> set[int]:
    nodes, scenes = header.get("nodes", []), header.get("scenes")
    waiting = list(scenes[header.get("scene", 0)].get("nodes", ())) if scenes else _roots(nodes)
    found: set[int] = set()
    while waiting:
        number = waiting.pop()
        extension = nodes[number].get("extensions", {}).get("KHR_node_visibility", {})
        if number not in found and extension.get("visible", True):
            found.add(number)
            waiting += nodes[number].get("children", ())
    return found


def num_triangles(header: Json, primitive: Json) -> int:
    """Triangles of a primitive; 0 where it is of lines or points."""
    accessor = primitive.get("indices", primitive["attributes"].get("POSITION"))
    if accessor is None:
        return 0
    count = int(header["accessors"][accessor]["count"])
    mode = primitive.get("mode", _TRIANGLES)
    if mode == _TRIANGLES:
        return count // 3
    return max(count - 2, 0) if mode in TRIANGLE_MODES else 0


def num_instances(header: Json, node: Json) -> int:
    """How often a node shows its mesh (``EXT_mesh_gpu_instancing``)."""
    instancing = node.get("extensions", {}).get("EXT_mesh_gpu_instancing")
    if instancing is None:
        return 1
    counts = [header["accessors"][a]["count"] for a in instancing.get("attributes", {}).values()]
    return int(min(counts, default=1))


def num_shown_triangles(header: Json) -> int:
    """Triangles of every mesh, as often as a node of the scene shows it."""
    meshes = header.get("meshes", ())
    stored = [sum(num_triangles(header, p) for p in mesh["primitives"]) for mesh in meshes]
    return sum(stored[each.mesh] * num_instances(header, each.node) for each in shown_nodes(header))


def triangles(mode: int, indices: np.ndarray) -> np.ndarray:
    """The triangles of a list, a strip or a fan of indices (glTF 2.0, section 3.7.2.1).

    Args:
        mode: 4, 5 or 6, as the format numbers them.
        indices: The indices, one after the other.

    Returns:
        ``F 3``.
    """
    if mode == _TRIANGLES:
        return indices[: len(indices) // 3 * 3].reshape(-1, 3)
    num = max(len(indices) - 2, 0)
    first = np.arange(num)
    if mode == _FAN:
        corners = np.stack([first + 1, first + 2, np.zeros_like(first)], axis=1)
    else:
        odd = first % 2
        corners = np.stack([first, first + 1 + odd, first + 2 - odd], axis=1)
    return indices[corners]


def world_transforms(nodes: list[Json]) -> dict[int, np.ndarray]:
    """The world transform of every node that hangs on a root, by its number."""
    waiting = [(number, np.eye(4)) for number in _roots(nodes)]
    world: dict[int, np.ndarray] = {}
    while waiting:
        number, above = waiting.pop()
        if number not in world:
            world[number] = above @ _local_transform(nodes[number])
            waiting += [(child, world[number]) for child in nodes[number].get("children", ())]
    return world


def rotation_matrices(quaternions: np.ndarray) -> np.ndarray:
    """From unit quaternions ``N 4`` (x, y, z, w) to ``N 3 3``."""
    x, y, z, w = np.asarray(quaternions, dtype=np.float64).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def _roots(nodes: list[Json]) -> list[int]:
    children = {child for node in nodes for child in node.get("children", ())}
    return [number for number in range(len(nodes)) if number not in children]


def _local_transform(node: Json) -> np.ndarray:
    """A node's matrix, or what its translation, rotation and scale make."""
    if "matrix" in node:
        return np.asarray(node["matrix"], dtype=np.float64).reshape(4, 4).T
    transform = np.eye(4)
    rotation = rotation_matrices(np.array([node.get("rotation", (0.0, 0.0, 0.0, 1.0))]))[0]
    transform[:3, :3] = rotation * np.asarray(node.get("scale", (1.0, 1.0, 1.0)))
    transform[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return transform
