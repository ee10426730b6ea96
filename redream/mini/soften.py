"""Makes renders look as generated pictures do, so that judges trained on renders judge those."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

_NOISE = 0.04


def soften(
    images: Float[Tensor, "B 3 H W"], generator: torch.Generator
) -> Float[Tensor, "B 3 H W"]:
    """Mirrors half of the pictures, shifts all by up to 3 pixels, blurs half of the batches.

    Args:
        images: Pictures in [0, 1].
        generator: The source of randomness, on the CPU.

    Returns:
        Pictures in [0, 1], with a little noise.
    """
    mirrored = torch.rand(len(images), 1, 1, 1, generator=generator).to(images.device) < 0.5
    images = torch.where(mirrored, images.flip(-1), images)
    shift = torch.randint(-3, 4, (2,), generator=generator).tolist()
    images = images.roll(shift, (2, 3))
    if torch.rand((), generator=generator) < 0.5:
        images = functional.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    return (images + _NOISE * noise).clamp(0.0, 1.0)
