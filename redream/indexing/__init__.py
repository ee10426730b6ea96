"""From assets to an index: pictures, vectors, shards, and the folder that they become.

Importing this loads no Lightning; :mod:`redream.indexing.predict` does.
"""

from redream.indexing.build import IndexBuild, index_store
from redream.indexing.pictures import PictureSource, RenderedPictures

__all__ = ["IndexBuild", "PictureSource", "RenderedPictures", "index_store"]
