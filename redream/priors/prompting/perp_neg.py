"""Perp-Neg: views between front, side and back, pushed away from the wrong ones."""

import torch
from jaxtyping import Float
from torch import Tensor

from redream.priors.base import Repelled
from redream.priors.prompting.base import Conditioning, Prompting
from redream.types import Cameras

Decay = tuple[float, float, float]


class PerpNeg(Prompting):
    """Perp-Neg (Armandpour et al., 2023).

    Embeddings of neighbouring views are interpolated by azimuth, and of the other views' scores
    the part perpendicular to the wanted one is subtracted (:func:`redream.losses.repel`).

    With r in [0, 1] the share of the nearer named view, each strength is a exp(-b r) + c. The
    defaults are those of the authors' Stable DreamFusion and of threestudio.

    Args:
        template: How a view is named where no prefix names it.
        front_deg: As of :class:`Prompting`; used where adaptation names views.
        back_deg: As of :class:`Prompting`.
        front_side: (a, b, c) of the front's repulsion between front and side, r the front's share.
        side_front: Of the side's, r the side's share.
        side_back: Of the side's repulsion between side and back, r the side's share.
        front_side_back: Of the front's repulsion there.
    """

    def __init__(
        self,
        template: str = "{prompt}, {view} view",
        front_deg: float = 45.0,
        back_deg: float = 135.0,
        front_side: Decay = (4.0, 0.5, -2.426),
        side_front: Decay = (4.0, 0.5, -2.426),
        side_back: Decay = (1.0, 0.5, -0.606),
        front_side_back: Decay = (1.0, 0.5, 0.967),
    ) -> None:
        super().__init__(template, front_deg, back_deg)
        self.front_side, self.side_front = front_side, side_front
        self.side_back, self.front_side_back = side_back, front_side_back

    def condition(self, table: Float[Tensor, "V L D"], cameras: Cameras) -> Conditioning:
        """Interpolates the views' embeddings; see :meth:`Prompting.condition`."""
        front, side, back = table
        angle = cameras.azimuth_deg.abs().to(table)
        near = (angle < 90.0)[:, None, None]
        share = torch.where(angle < 90.0, 1.0 - angle / 90.0, 2.0 - angle / 90.0)
        ahead, behind = torch.where(near, front, side), torch.where(near, side, back)
        mixed = share[:, None, None] * ahead + (1.0 - share[:, None, None]) * behind
        side_strength = torch.where(
            angle < 90.0, _decay(self.side_front, 1.0 - share), _decay(self.side_back, share)
        )
        front_strength = torch.where(
            angle < 90.0, _decay(self.front_side, share), _decay(self.front_side_back, share)
        )
        return Conditioning(
            mixed,
            (
                Repelled(side.expand_as(mixed), side_strength),
                Repelled(front.expand_as(mixed), front_strength),
            ),
        )


def _decay(parameters: Decay, share: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    a, b, c = parameters
    return a * torch.exp(-b * share) + c
