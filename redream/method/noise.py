"""What is drawn for a denoising loss: diffusion times, noise, and the colours behind pictures."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def draw_noise(
    latents: Float[Tensor, "B C h w"],
    num_timesteps: int,
    generator: torch.Generator,
    first: int = 0,
    views_per_set: int = 1,
) -> tuple[Int[Tensor, " B"], Float[Tensor, "B C h w"]]:
    """Diffusion times, uniform from ``first`` on, and noise for a denoising loss (Eqs. 4, 5).

    The views of a set share their time, and each has its own noise.
    """
    num_sets = len(latents) // views_per_set
    timesteps = torch.randint(first, num_timesteps, (num_sets,), generator=generator)
    timesteps = timesteps.repeat_interleave(views_per_set)
    noise = torch.randn(latents.shape, generator=generator)
    return timesteps.to(latents.device), noise.to(latents)


def random_backgrounds(
    num: int, generator: torch.Generator, white_share: float = 0.4, views_per_set: int = 1
) -> Float[Tensor, "B 3 1 1"]:
    """Random colours, some of them white, as assets and pictures often have it.

    Args:
        num: How many.
        generator: The source of randomness, on the CPU.
        white_share: Share of white ones.
        views_per_set: So many neighbours have one colour.

    Returns:
        Colours in [0, 1].
    """
    num_sets = num // views_per_set
    colors = torch.rand(num_sets, 3, 1, 1, generator=generator)
    is_white = torch.rand(num_sets, 1, 1, 1, generator=generator) < white_share
    colors = torch.where(is_white, torch.ones_like(colors), colors)
    return colors.repeat_interleave(views_per_set, dim=0)
