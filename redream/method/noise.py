"""What is drawn for a denoising loss: diffusion times, noise, and the colours behind pictures."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def draw_noise(
    latents: Float[Tensor, "B C h w"],
    num_timesteps: int,
    generator: torch.Generator,
    first: int = 0,
) -> tuple[Int[Tensor, " B"], Float[Tensor, "B C h w"]]:
    """Diffusion times, uniform from ``first`` on, and noise for a denoising loss (Eqs. 4, 5)."""
    timesteps = torch.randint(first, num_timesteps, (len(latents),), generator=generator)
    noise = torch.randn(latents.shape, generator=generator)
    return timesteps.to(latents.device), noise.to(latents)


def random_backgrounds(
    num: int, generator: torch.Generator, white_share: float = 0.4
) -> Float[Tensor, "B 3 1 1"]:
    """Random colours, some of them white, as assets and pictures often have it.

    Args:
        num: How many.
        generator: The source of randomness, on the CPU.
        white_share: Share of white ones.

    Returns:
        Colours in [0, 1].
    """
    colors = torch.rand(num, 3, 1, 1, generator=generator)
    is_white = torch.rand(num, 1, 1, 1, generator=generator) < white_share
    return torch.where(is_white, torch.ones_like(colors), colors)
