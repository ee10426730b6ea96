"""Reads glTF 2.0: header, bounds, accessors, nodes, skins, primitives, materials, a file each."""

from redream.assets.gltf.header import Json, read_header
from redream.assets.gltf.nodes import num_shown_triangles
from redream.assets.gltf.parts import gltf_parts

__all__ = ["Json", "gltf_parts", "num_shown_triangles", "read_header"]
