"""3D assets: stores, loading, rendering, writing, orientation, references."""

from redream.assets.base import Store
from redream.assets.folder import FolderStore
from redream.assets.loading import load_mesh, normalize
from redream.assets.objaverse import ObjaverseStore
from redream.assets.orientation import Orientation, align_front, rotate_yaw
from redream.assets.own import OwnFiles
from redream.assets.references import ReferenceRenderer
from redream.assets.render import AssetRenderer
from redream.assets.success import SuccessRate, orientation_success, wilson_interval
from redream.assets.writing import write_glb

__all__ = [
    "AssetRenderer",
    "FolderStore",
    "ObjaverseStore",
    "Orientation",
    "OwnFiles",
    "ReferenceRenderer",
    "Store",
    "SuccessRate",
    "align_front",
    "load_mesh",
    "normalize",
    "orientation_success",
    "rotate_yaw",
    "wilson_interval",
    "write_glb",
]
