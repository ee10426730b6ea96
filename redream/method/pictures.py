"""How views become pictures and latents: the colour behind them, and how they are encoded."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from redream.method.noise import random_backgrounds
from redream.priors import Prior


@dataclass(frozen=True)
class Pictures:
    """What stands behind the views of particles and assets, and how they become latents.

    Attributes:
        random_background: Probability that a random colour replaces a particle's own background.
        white_share: Share of the random colours that are white, behind particles and assets. The
            paper does not say; threestudio has none.
        sample_latents: Whether latents are drawn from what the autoencoder says of a picture, as
            in threestudio, and not their mean.
    """

    random_background: float = 0.5
    white_share: float = 0.4
    sample_latents: bool = False

    def random_colors(
        self, num: int, generator: torch.Generator, views_per_set: int = 1
    ) -> Float[Tensor, "num 3 1 1"] | None:
        """Colours for a particle's views, or None where its own background is to be seen.

        Args:
            num: Of views.
            generator: The source of randomness.
            views_per_set: So many neighbours have one colour.
        """
        if torch.rand((), generator=generator) >= self.random_background:
            return None
        return random_backgrounds(num, generator, self.white_share, views_per_set)

    def encode(
        self, prior: Prior, images: Float[Tensor, "B 3 H W"], generator: torch.Generator
    ) -> Float[Tensor, "B C h w"]:
        """The latents of pictures.

        Args:
            prior: What encodes them.
            images: The pictures.
            generator: Draws the latents where they are drawn.
        """
        return prior.encode_images(images, generator if self.sample_latents else None)
