"""What a run shows while it works, and what it leaves."""

from redream.callbacks.atlas import textured_mesh
from redream.callbacks.export import Export
from redream.callbacks.previews import Previews
from redream.callbacks.progress import Progress

__all__ = ["Export", "Previews", "Progress", "textured_mesh"]
