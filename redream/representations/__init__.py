"""3D representations: what a particle theta can be."""

from redream.representations.base import Representation
from redream.representations.mesh import Mesh
from redream.representations.nerf import NeRF
from redream.representations.surface import SurfaceRepresentation

__all__ = ["Mesh", "NeRF", "Representation", "SurfaceRepresentation"]
