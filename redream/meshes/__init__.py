"""What meshes need: isosurfaces, triangles, simplification, manifoldness, soundness."""
