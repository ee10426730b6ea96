"""What one step draws for one particle."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.types import Cameras, Views


class Drawn(NamedTuple):
    """What one step draws for one particle: views, and the noise that they are scored with.

    Attributes:
        particle: Index of the particle.
        cameras: psi.
        views: g(theta, psi).
        background: The picture behind.
        image: The views over the background.
        latents: The image, encoded.
        timesteps: t.
        noise: eps.
        generator: The rest of the step's random numbers of this particle.
    """

    particle: int
    cameras: Cameras
    views: Views
    background: Float[Tensor, "B 3 #H #W"]
    image: Float[Tensor, "B 3 H W"]
    latents: Float[Tensor, "B C h w"]
    timesteps: Int[Tensor, " B"]
    noise: Float[Tensor, "B C h w"]
    generator: torch.Generator
