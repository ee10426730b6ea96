"""Mirror symmetry of an asset, seen in its pictures from all round."""

import torch
from jaxtyping import Float
from torch import Tensor


def mirror_asymmetry(pictures: Float[Tensor, "E M H W"]) -> Float[Tensor, " M"]:
    """How unlike their mirror images pictures from all round are, plane by plane.

    Mirrored in the upright plane through azimuth p, a camera at azimuth a stands at 2p - a and sees
    the flipped picture. ``M`` views so hold ``M`` planes, at azimuths 180 / M apart, each of which
    every view takes part in.

    Args:
        pictures: Of ``E`` elevations at ``M`` equally spaced azimuths from 0; depth, for example.

    Returns:
        Mean absolute difference for planes at ``0, 180 / M, 2 * 180 / M ...`` degrees, divided by
        its mean: 0 where a plane mirrors perfectly, 1 everywhere for what is alike from all round.
    """
    num_views = pictures.shape[1]
    view = torch.arange(num_views, device=pictures.device)
    difference = torch.stack(
        [
            (pictures - pictures[:, (plane - view) % num_views].flip(-1)).abs().mean()
            for plane in range(num_views)
        ]
    )
    mean = difference.mean()
    return difference / mean if mean > 0 else torch.ones_like(difference)
