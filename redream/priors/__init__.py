"""Diffusion priors phi: what a picture of the prompt looks like, or several views of it."""

from redream.priors.base import BASE, Guided, Prior, Repelled
from redream.priors.gaussian import GaussianPrior
from redream.priors.imagedream import ImageDreamPrior
from redream.priors.learned_views import LearnedViews
from redream.priors.mv_adapter import MVAdapterPrior
from redream.priors.mvdream import MVDreamPrior
from redream.priors.rows import join_rows, with_image, without_image
from redream.priors.stable_diffusion import StableDiffusionPrior
from redream.priors.together import azimuths_together, views_together
from redream.priors.zero123 import StableZero123Prior, Zero123Prior

__all__ = [
    "BASE",
    "GaussianPrior",
    "Guided",
    "ImageDreamPrior",
    "LearnedViews",
    "MVAdapterPrior",
    "MVDreamPrior",
    "Prior",
    "Repelled",
    "StableDiffusionPrior",
    "StableZero123Prior",
    "Zero123Prior",
    "azimuths_together",
    "join_rows",
    "views_together",
    "with_image",
    "without_image",
]
