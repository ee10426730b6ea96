"""Crumbs: bits of matter that float beside an object."""

import numpy as np
import torch
from jaxtyping import Bool
from scipy import ndimage
from torch import Tensor, nn

from redream.kernels.occupancy import Density, cell_points


@torch.no_grad()
def cells_of_objects(
    density: Density, resolution: int, solid: float, min_share: float, device: torch.device
) -> Bool[Tensor, "G G G"]:
    """The cells of [-1, 1]^3 in which, or beside which, there is more than haze and floaters.

    The field is looked at in cells half as long, at their centres.

    Args:
        density: The field's density at ``N 3`` world points.
        resolution: Cells along each axis ``G``.
        solid: Density of matter; what is thinner joins nothing.
        min_share: Smallest share of all matter that a piece may have; the largest piece stays
            whatever its share.
        device: Device of the field.

    Returns:
        Those cells, indexed ``[x, y, z]``; all of them where there is no matter.
    """
    points = cell_points(2 * resolution, device)
    seen = torch.cat([density(part) for part in points.split(2**16)])
    objects = without_floaters((seen > solid).view((2 * resolution,) * 3), min_share)
    around = nn.functional.max_pool3d(objects[None, None].float(), 4, stride=2, padding=1)[0, 0]
    return (around > 0.0) | ~objects.any()


def without_floaters(solid: Bool[Tensor, "G G G"], min_share: float) -> Bool[Tensor, "G G G"]:
    """The solid cells that belong to a large piece; the largest piece always stays.

    Cells that share a face, an edge or a corner are of one piece.

    Args:
        solid: Cells that hold matter.
        min_share: Smallest share of all solid cells that a piece may have.

    Returns:
        The cells that stay, on the device of ``solid``.
    """
    pieces, _ = ndimage.label(solid.cpu().numpy(), np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0  # what is empty is no piece
    stays = sizes >= min(min_share * sizes.sum(), sizes.max())
    stays[0] = False
    return torch.from_numpy(stays[pieces]).to(solid.device)
