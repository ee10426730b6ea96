"""Splats moved as a whole: turned from a file's axes to ours, scaled, shifted, fitted in a ball."""

import torch
from jaxtyping import Float
from torch import Tensor

from redream.kernels.splats_projection import MIN_ALPHA, Gaussians

# Signs of the harmonics where x and y change theirs.
_TURNED = (1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1)


def turned_about_z(splats: Gaussians) -> Gaussians:
    """Splats turned by 180 degrees about z; their colours turn with them."""
    w, x, y, z = splats.rotations.unbind(1)
    signs = splats.harmonics.new_tensor(_TURNED[: splats.harmonics.shape[1]])
    return splats._replace(
        means=splats.means * splats.means.new_tensor([-1.0, -1.0, 1.0]),
        rotations=torch.stack([-z, -y, x, w], 1),
        harmonics=splats.harmonics * signs[:, None],
    )


def placed(splats: Gaussians, scale: float, shift: Float[Tensor, " 3"]) -> Gaussians:
    """Splats scaled about the origin, then shifted."""
    return splats._replace(means=splats.means * scale + shift, scales=splats.scales * scale)


def fitted(splats: Gaussians, radius: float) -> Gaussians:
    """Splats in a ball about the origin, as every asset is.

    Args:
        splats: The splats.
        radius: Distance of the farthest centre from the middle of their bounding box, then; what
            is too faint to be seen does not count.

    Returns:
        The splats, scaled and shifted.

    Raises:
        ValueError: If none can be seen, or all are at one place.
    """
    seen = splats.means[splats.opacities >= MIN_ALPHA].double()
    if len(seen) == 0:
        raise ValueError("all of its splats are too faint to be seen: export it again")
    middle = (seen.amin(0) + seen.amax(0)) / 2.0
    farthest = float((seen - middle).norm(dim=1).max())
    if farthest == 0.0:
        raise ValueError("all of its splats are at one place: export it again")
    scale = radius / farthest
    return placed(splats, scale, (-scale * middle).to(splats.means))
