"""A particle looks like the picture at its own camera: colour, mask and order of depths."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate, mse_loss

from redream.losses import sum_of
from redream.representations import Representation
from redream.schedules import Ramp, value_at
from redream.types import ImagePrompt

_SEEN = 0.5  # opacity of a pixel that shows the object


@dataclass(frozen=True)
class Reconstruction:
    """How strongly a particle is held to ``--data.image`` at the picture's own camera.

    The losses are threestudio's for Zero123, and its weights mean the same here.

    Attributes:
        color: Weight of the mean squared difference of colours, over the particle's own
            background where there is no object; a ramp by step.
        mask: Weight of that of opacities.
        depth_order: Weight of 1 less the correlation of depths, over the object, with
            ``--data.image_depth``: which parts are nearer, in whatever unit.
        render_size: Height and width of the view in pixels, or a ramp of them by step; None is as
            large as the views of a step.
    """

    color: Ramp = Ramp(0.0, 0.0)
    mask: Ramp = Ramp(0.0, 0.0)
    depth_order: Ramp = Ramp(0.0, 0.0)
    render_size: int | Ramp | None = None

    @property
    def is_on(self) -> bool:
        """Whether anything is ever asked for."""
        weights = (self.color, self.mask, self.depth_order)
        return any(each.start or each.end for each in weights)

    def require_depth(self, image: ImagePrompt | None) -> None:
        """Makes sure that there are depths whose order can be learned, where it is to be.

        Raises:
            ValueError: If there are none.
        """
        ramp = self.depth_order
        if (ramp.start or ramp.end) and (image is None or image.depth is None):
            raise ValueError(
                "model.reconstruction.depth_order needs depths: set --data.image_depth to a "
                "picture of them, or the weight to 0"
            )

    def losses(
        self,
        particles: Sequence[Representation],
        image: ImagePrompt | None,
        step: int,
        size: int,
    ) -> dict[str, Tensor]:
        """The losses at a step, summed over particles, by name; those of weight 0 are left out.

        Args:
            particles: The active ones.
            image: The picture; its first, where it has several.
            step: The step.
            size: Height and width of the step's views.

        Raises:
            ValueError: If the order of depths is asked for and the picture has none.
        """
        weights = {
            "color": self.color.at(step),
            "mask": self.mask.at(step),
            "depth_order": self.depth_order.at(step),
        }
        if image is None or not any(weights.values()):
            return {}
        self.require_depth(image)
        if self.render_size is not None:
            size = round(value_at(self.render_size, step))
        found = [_differences(each, image, size, weights) for each in particles]
        return {f"picture_{name}": sum_of(each[name] for each in found) for name in found[0]}


def _differences(
    particle: Representation, image: ImagePrompt, size: int, weights: dict[str, float]
) -> dict[str, Tensor]:
    camera = image.cameras.select(slice(0, 1))
    rgba = _resized(image.rgba[:1], size)
    views = particle.render(camera, size, size)
    losses = {}
    if weights["color"]:
        background = particle.background(camera, size, size).detach()
        target = rgba[:, :3] + (1.0 - rgba[:, 3:]) * background
        losses["color"] = weights["color"] * mse_loss(views.over(background), target)
    if weights["mask"]:
        losses["mask"] = weights["mask"] * mse_loss(views.opacity, rgba[:, 3:])
    if weights["depth_order"]:
        assert image.depth is not None
        seen = rgba[:, 3:] > _SEEN
        mine, theirs = views.depth[seen], _resized(image.depth[:1], size)[seen]
        losses["depth_order"] = weights["depth_order"] * (1.0 - correlation(mine, theirs))
    return losses


def correlation(one: Float[Tensor, " N"], other: Float[Tensor, " N"]) -> Float[Tensor, ""]:
    """Pearson's correlation; 0 where one of them is constant."""
    one, other = one - one.mean(), other - other.mean()
    spread = (one.square().sum() * other.square().sum()).clamp_min(1e-12).sqrt()
    together: Tensor = (one * other).sum() / spread
    return together


def _resized(picture: Float[Tensor, "B C H W"], size: int) -> Float[Tensor, "B C S S"]:
    if picture.shape[-1] == size:
        return picture
    with torch.no_grad():
        return interpolate(
            picture, (size, size), mode="bilinear", antialias=True, align_corners=False
        )
