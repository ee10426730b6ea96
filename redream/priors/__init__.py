"""2D diffusion priors phi: what a picture of the prompt looks like."""

from redream.priors.base import BASE, Guided, Prior, Repelled, views_together
from redream.priors.gaussian import GaussianPrior
from redream.priors.rows import join_rows
from redream.priors.stable_diffusion import StableDiffusionPrior

__all__ = [
    "BASE",
    "GaussianPrior",
    "Guided",
    "Prior",
    "Repelled",
    "StableDiffusionPrior",
    "join_rows",
    "views_together",
]
