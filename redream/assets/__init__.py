"""3D assets: stores, loading, rendering, writing, orientation, references."""

from redream.assets.base import Store
from redream.assets.folder import FolderStore
from redream.assets.loading import load_mesh, normalize
from redream.assets.objaverse import ObjaverseStore
from redream.assets.orientation import Orientation, align_front, rotate_yaw
from redream.assets.own import OwnFiles
from redream.assets.references import ReferenceRenderer
from redream.assets.render import AssetRenderer
from redream.assets.writing import write_glb

__all__ = [
    "AssetRenderer",
    "FolderStore",
    "ObjaverseStore",
    "Orientation",
    "OwnFiles",
    "ReferenceRenderer",
    "Store",
    "align_front",
    "load_mesh",
    "normalize",
    "rotate_yaw",
    "write_glb",
]
