"""How textures lie on a surface that came with coordinates for them, and its parts' names."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.types import TriangleMesh


class Layout(NamedTuple):
    """What a model that was made of an asset keeps of it, face by face.

    Attributes:
        corner_uvs: glTF texture coordinates.
        face_materials: Index into ``materials`` of each face.
        face_nodes: Index into ``nodes`` of each face.
        materials: The materials' names.
        nodes: The nodes' names.
    """

    corner_uvs: Float[Tensor, "F 3 2"]
    face_materials: Int[Tensor, " F"]
    face_nodes: Int[Tensor, " F"]
    materials: tuple[str, ...]
    nodes: tuple[str, ...]

    def select(self, faces: Int[Tensor, " N"]) -> "Layout":
        """The same of some of the faces."""
        return self._replace(
            corner_uvs=self.corner_uvs[faces],
            face_materials=self.face_materials[faces],
            face_nodes=self.face_nodes[faces],
        )


def layout_of(mesh: TriangleMesh) -> Layout | None:
    """A mesh's layout; None where it came without texture coordinates."""
    if not bool((mesh.corner_uvs != mesh.corner_uvs[:1, :1]).any()):
        return None
    nodes = mesh.face_nodes
    return Layout(
        mesh.corner_uvs,
        mesh.face_materials,
        torch.zeros_like(mesh.face_materials) if nodes is None else nodes,
        tuple(material.name for material in mesh.materials),
        mesh.nodes or ("",),
    )
