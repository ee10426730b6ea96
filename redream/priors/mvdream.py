"""MVDream as the prior: views of one object at once, each at its known pose."""

from collections.abc import Mapping
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from redream.priors.families import MULTI_VIEW_FAMILIES
from redream.priors.families.base import Family, dtype_of
from redream.priors.families.mvdream import MVDream
from redream.priors.learned_views import LearnedViews
from redream.priors.poses import mvdream_cameras
from redream.priors.stable_diffusion import StableDiffusionPrior
from redream.types import NoisyRows


class MVDreamPrior(StableDiffusionPrior):
    """MVDream (Shi et al., 2023), on Stable Diffusion 2.1 or 1.5, frozen, with adapters as any.

    It scores sets of views of one object that stand at equal steps of the circle, at one elevation
    and one diffusion time; cameras, times and Eq. 5 come in such sets by themselves. Give the
    number of views with ``--model.cameras.num_views 4``.

    Args:
        model: A folder that ``redream convert`` wrote, or a hub id of a diffusers conversion.
        views_per_set: Views that see each other; it was trained with 4.
        **common: As of :class:`StableDiffusionPrior`.
    """

    families: ClassVar[Mapping[str, str]] = MULTI_VIEW_FAMILIES
    needs_poses = True
    # elevation_range, fovy_range and camera_distance_range, which is relative to the field of view
    learned_views = LearnedViews((0.0, 30.0), (15.0, 60.0), (0.8, 1.0))

    def __init__(
        self,
        model: str = "ashawkey/mvdream-sd2.1-diffusers",
        views_per_set: int = 4,
        **common: Any,  # noqa: ANN401
    ) -> None:
        if views_per_set < 1:
            raise ValueError(f"views_per_set is {views_per_set}, and must be at least 1")
        super().__init__(model, **common)
        self.views_per_set = views_per_set
        _views_of(self.family).look_at(views_per_set)

    def _denoise(self, rows: NoisyRows) -> Float[Tensor, "B C h w"]:
        """The denoiser's raw answer, told the cameras."""
        assert rows.poses is not None  # require_sets has looked
        dtype = dtype_of(self.family.denoiser)
        return _views_of(self.family).denoise_views(
            rows.latents.to(dtype),
            self.times[rows.timesteps],
            rows.text.to(dtype),
            mvdream_cameras(rows.poses),
        )


def _views_of(family: Family) -> MVDream:
    assert isinstance(family, MVDream)
    return family
