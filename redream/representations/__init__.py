"""3D representations: what a particle theta can be."""

from redream.representations.base import Representation
from redream.representations.nerf import NeRF

__all__ = ["NeRF", "Representation"]
