"""Models of random weights in the ordinary diffusers format, for tests: one writer a family."""

from redream.priors.miniature.imagedream import save_miniature_imagedream
from redream.priors.miniature.mv_adapter import save_miniature_mv_adapter
from redream.priors.miniature.mvdream import save_miniature_mvdream
from redream.priors.miniature.stable_diffusion import save_miniature
from redream.priors.miniature.stable_diffusion_3 import save_miniature_3
from redream.priors.miniature.stable_diffusion_xl import save_miniature_xl
from redream.priors.miniature.zero123 import save_miniature_zero123

__all__ = [
    "save_miniature",
    "save_miniature_3",
    "save_miniature_imagedream",
    "save_miniature_mv_adapter",
    "save_miniature_mvdream",
    "save_miniature_xl",
    "save_miniature_zero123",
]
