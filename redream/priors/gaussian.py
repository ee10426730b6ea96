"""A prior whose score is known exactly: pictures drawn from one Gaussian."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from redream.priors.base import Prior
from redream.priors.diffusion import from_alphas_cumprod
from redream.types import NoisyRows


class GaussianPrior(Prior):
    """p(x_0) = N(mu, s^2 I) over pictures, which are their own latents.

    The optimal denoiser is eps*(x_t, t) = sigma_t (x_t - alpha_t mu) / (alpha_t^2 s^2 +
    sigma_t^2), whatever the prompt, so distillation can be compared with its closed form.

    Args:
        image_size: Side of the pictures in pixels.
        mean: mu of every pixel; write to the ``mean`` buffer for a picture of your own.
        std: s, the standard deviation of every pixel.
        num_train_timesteps: Length of the noise schedule, Stable Diffusion's.
        double: Whether to compute in float64.
    """

    mean: Float[Tensor, "3 H W"]

    def __init__(
        self,
        image_size: int = 8,
        mean: float = 0.5,
        std: float = 0.1,
        num_train_timesteps: int = 1000,
        double: bool = False,
    ) -> None:
        dtype = torch.float64 if double else torch.float32
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, num_train_timesteps, dtype=torch.float64)
        alphas_cumprod = (1.0 - betas.square()).cumprod(0).to(dtype)
        super().__init__(from_alphas_cumprod(alphas_cumprod, "epsilon"), image_size)
        picture = torch.full((3, image_size, image_size), mean, dtype=dtype)
        self.register_buffer("mean", picture, persistent=False)
        self.std = std

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the pictures."""
        return 3, self.image_size, self.image_size

    def encode_images(
        self, images: Float[Tensor, "B 3 H W"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "B C h w"]:
        """The pictures themselves, resized; the generator is not needed."""
        if images.shape[-2:] == self.mean.shape[-2:]:
            return images
        return interpolate(
            images, self.mean.shape[-2:], mode="bilinear", antialias=True, align_corners=False
        )

    def decode_latents(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """The latents themselves, clamped to [0, 1]."""
        return latents.clamp(0.0, 1.0)

    def encode_prompts(
        self, prompts: Sequence[str], prefixes: Float[Tensor, "B P D"] | None = None
    ) -> Float[Tensor, "B L D"]:
        """Zeros: this prior does not read."""
        return self.mean.new_zeros(len(prompts), 1, 1)

    def embed_words(self, text: str) -> Float[Tensor, "P D"]:
        """One zero a word."""
        return self.mean.new_zeros(len(text.split()), 1)

    def predict_noise(self, rows: NoisyRows) -> Float[Tensor, "B C h w"]:
        """The exact eps* of every row, whatever adapter it names."""
        alpha, sigma = self.signal_and_noise(rows.timesteps)
        variance = alpha.square() * self.std**2 + sigma.square()
        return sigma * (rows.latents - alpha * self.mean) / variance
