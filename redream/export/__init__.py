"""What a run leaves: textured meshes, films, a report that opens offline."""

from redream.export.atlas import textured_mesh

__all__ = ["textured_mesh"]
