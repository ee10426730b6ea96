"""What meshes need: isosurfaces, triangles, simplification, manifoldness, soundness."""

from redream.meshes.isosurface import extract_isosurface, keep_large_components
from redream.meshes.triangles import is_closed, vertex_normals

__all__ = ["extract_isosurface", "is_closed", "keep_large_components", "vertex_normals"]
