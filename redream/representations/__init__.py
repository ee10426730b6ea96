"""3D representations: what a particle theta can be."""

from redream.representations.base import Representation
from redream.representations.mesh import Mesh
from redream.representations.nerf import NeRF
from redream.representations.splat_strategies import MCMC, AdaptiveDensity, SplatStrategy
from redream.representations.splats import Splats
from redream.representations.surface import SurfaceRepresentation

__all__ = [
    "MCMC",
    "AdaptiveDensity",
    "Mesh",
    "NeRF",
    "Representation",
    "SplatStrategy",
    "Splats",
    "SurfaceRepresentation",
]
