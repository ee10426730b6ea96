"""What the turntable film is drawn from."""

import torch
from jaxtyping import Float
from torch import Tensor

from redream.assets import AssetRenderer
from redream.export.models import Model
from redream.export.turntable import over_white, render_over_white
from redream.representations.base import Representation
from redream.types import Cameras


def film_frames(
    particle: Representation, model: Model | None, cameras: Cameras, size: int
) -> Float[Tensor, "B 3 {size} {size}"]:
    """Pictures of a film, of the textured model where that costs less than of the particle.

    A volume costs by its samples, four times as much at twice the side; its model is as true to it
    as the measures say, and has smooth outlines.

    Args:
        particle: The scene theta.
        model: What was exported of it, or None.
        cameras: From where.
        size: Height and width in pixels.

    Returns:
        Pictures over white in [0, 1] on the CPU.
    """
    if model is None or model.splats is not None or not particle.is_soft:
        return render_over_white(particle, cameras, size)
    renderer = AssetRenderer(model.mesh)
    every = [cameras.select(slice(i, i + 1)) for i in range(cameras.num)]
    return torch.cat([over_white(renderer.render(camera, size, size)) for camera in every])
