"""ImageDream as the prior: views of the object in a picture, all at once."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from redream.priors.families import PICTURED_FAMILIES
from redream.priors.families.base import Family
from redream.priors.families.imagedream import ImageDream
from redream.priors.learned_views import LearnedViews, Range
from redream.priors.mvdream import MVDreamPrior
from redream.types import ImagePrompt, NoisyRows

_TURNED_DEG = 45.0  # half of a view's share of the circle
_BEHIND = 0.5  # grey behind the picture; the authors take any


class ImageDreamPrior(MVDreamPrior):
    """ImageDream (Wang and Shi, 2023), pixel or local, frozen: MVDream that sees a picture.

    The picture, ``--data.image``, shows the front of the object: the network is told no other place
    that it was taken from. The authors put the step's mean background behind it and encode it anew
    each step; here it is encoded once, over grey.

    Args:
        model: A folder that ``redream convert`` wrote, which knows whether it is pixel or local,
            or a hub id of a diffusers conversion, which is pixel.
        views_per_set: Views that see each other; it was trained with 4, and the picture.
        **common: As of :class:`StableDiffusionPrior`.
    """

    families: ClassVar[Mapping[str, str]] = PICTURED_FAMILIES
    needs_image = True
    # the authors' configs: trained as MVDream was, distilled from nearer
    learned_views = LearnedViews((0.0, 30.0), (15.0, 60.0), (0.6, 1.0))

    def __init__(
        self,
        model: str = "ashawkey/imagedream-ipmv-diffusers",
        views_per_set: int = 4,
        **common: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(model, views_per_set, **common)
        family = _seen_by(self.family)
        self._text_length = int(family.encoders[0].max_length)  # type: ignore[arg-type]
        if family.adapter.is_pixel:
            family.look_at(views_per_set + 1)

    def encode_image_prompts(self, images: ImagePrompt) -> Float[Tensor, "B M D"]:
        """A picture's tokens; where the network also sees it as a view, its latents behind them."""
        family = _seen_by(self.family)
        picture = images.over(images.rgba.new_full((1, 3, 1, 1), _BEHIND))
        told = family.encode_picture(picture).to(picture.dtype)
        if not family.adapter.is_pixel:
            return told
        latents = self.encode_images(picture).flatten(1)
        rows = pad(latents, (0, -latents.shape[1] % told.shape[2])).unflatten(
            1, (-1, told.shape[2])
        )
        return torch.cat([told, rows], dim=1)

    def require_image(self, images: ImagePrompt, distance: Range, fovy_deg: Range) -> None:
        """Makes sure that the picture shows the front; see :meth:`Prior.require_image`."""
        x, _, z = images.cameras.c2w[0, :3, 3].tolist()
        turned = math.degrees(math.atan2(x, z))
        if abs(turned) > _TURNED_DEG:
            raise ValueError(
                f"{type(self).__name__} takes its picture for the front, and this one is said to "
                f"be from azimuth {turned:.0f}: give a picture of the front, set "
                "--data.image_camera.azimuth_deg 0, or take Zero123Prior"
            )

    def free_text_encoders(self) -> None:
        """Lets the text encoders go, and the picture encoder."""
        _seen_by(self.family).image_encoder = None
        super().free_text_encoders()

    def _score(self, rows: NoisyRows) -> Float[Tensor, "B C h w"]:
        """The noise of whole sets, each with its picture as one more view in pixel mode."""
        family = _seen_by(self.family)
        text, told = rows.text.tensor_split((self._text_length,), dim=1)
        num = family.adapter.num_tokens
        told = pad(told, (0, 0, 0, max(0, num - told.shape[1])))  # nobody has said of any picture
        tokens = told[:, :num] + family.nothing.to(told)
        rows = rows._replace(text=torch.cat([text, tokens], dim=1))
        if not family.adapter.is_pixel:
            return super()._score(rows)
        shape = self.latent_shape
        size = shape[0] * shape[1] * shape[2]
        flat = told[:, num:].flatten(1)
        latents = pad(flat, (0, max(0, size - flat.shape[1])))[:, :size].unflatten(1, shape)
        views = self.views_per_set
        eps = super()._score(with_picture(rows, latents, views))
        scored: Tensor = eps.unflatten(0, (-1, views + 1))[:, :views].flatten(0, 1)
        return scored


def with_picture(rows: NoisyRows, latents: Float[Tensor, "B C h w"], num_views: int) -> NoisyRows:
    """Puts a picture behind each set of views: clean, at the views' time, from nowhere.

    Args:
        rows: Whole sets of views.
        latents: Of the picture that each view's set has.
        num_views: Of a set.

    Returns:
        Sets of one view more.
    """

    def joined(each: Tensor, last: Tensor) -> Tensor:
        sets = each.unflatten(0, (-1, num_views))
        tail = last.unflatten(0, (-1, num_views))[:, -1:]
        return torch.cat([sets, tail.to(sets)], dim=1).flatten(0, 1)

    names, cameras, poses = rows.adapters, rows.cameras, rows.poses
    return NoisyRows(
        joined(rows.latents, latents),
        joined(rows.timesteps, rows.timesteps),
        joined(rows.text, rows.text),
        tuple(
            name
            for start in range(0, len(names), num_views)
            for name in (*names[start : start + num_views], names[start])
        ),
        None if cameras is None else joined(cameras, torch.zeros_like(cameras)),
        None if poses is None else joined(poses, torch.zeros_like(poses)),
    )


def _seen_by(family: Family) -> ImageDream:
    assert isinstance(family, ImageDream)
    return family
