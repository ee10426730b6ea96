"""Stable Diffusion as the 2D prior: any diffusers folder, one UNet under several hats."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from redream.priors._folder import load_components
from redream.priors._prompts import PromptEncoder
from redream.priors.base import BASE, Prior
from redream.types import NoisyRows


class StableDiffusionPrior(Prior):
    """A latent diffusion model in diffusers' format, frozen, to which adapters are attached.

    The frozen prior phi, the light adapter omega and the variational adapter zeta share one
    UNet: a batch may mix rows of all three, and one forward pass scores them.

    Args:
        model: A folder that ``StableDiffusionPipeline.save_pretrained`` wrote, or a hub id.
        dtype: Precision of the frozen weights; adapters stay in float32.
        variant: Suffix of the weight files, such as ``fp16``.
    """

    def __init__(
        self,
        model: str,
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        variant: str | None = None,
    ) -> None:
        parts = load_components(model, getattr(torch, dtype), variant)
        vae_factor = 2 ** (len(parts.vae.config.block_out_channels) - 1)
        super().__init__(parts.alphas_cumprod, parts.unet.config.sample_size * vae_factor)
        self.vae = parts.vae
        self.unet = parts.unet
        self.prompt_encoder = PromptEncoder(parts.tokenizer, parts.text_encoder)
        self.prediction_type = parts.prediction_type
        self.requires_grad_(False).eval()

        from redream.priors._routing import Routing  # PEFT takes seconds to import

        self._routing = Routing()
        self._adapters: set[str] = {BASE}
        self._cameras: Float[Tensor, "B E"] | None = None
        self.unet.time_embedding.register_forward_hook(self._add_cameras)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the latents."""
        side = int(self.unet.config.sample_size)
        return int(self.unet.config.in_channels), side, side

    @property
    def time_embedding_dim(self) -> int:
        """Width of the time embedding, to which a row's camera embedding is added."""
        return int(self.unet.time_embedding.linear_2.out_features)

    def add_lora(
        self, name: str, rank: int, lora_alpha: float, target_modules: Sequence[str]
    ) -> nn.ModuleDict:
        """Adds a named LoRA adapter to the UNet; at first it changes nothing.

        Args:
            name: How rows ask for it.
            rank: Rank of the update.
            lora_alpha: The update is scaled by ``lora_alpha / rank``.
            target_modules: Endings of the names of the adapted linear layers.

        Returns:
            The trainable layers, keyed by their path in the UNet with ``/`` for ``.``.

        Raises:
            ValueError: If the name is taken, or the targets are not linear layers of the UNet.
        """
        from redream.priors._routing import add_lora

        layers = add_lora(self.unet, self._routing, name, rank, lora_alpha, target_modules)
        self._adapters.add(name)
        return layers

    def encode_images(
        self, images: Float[Tensor, "B 3 H W"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "B C h w"]:
        """Encodes pictures with the VAE; see :meth:`Prior.encode_images`."""
        size = (self.image_size, self.image_size)
        if images.shape[-2:] != size:
            images = interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
        posterior = self.vae.encode(images.to(self.vae.dtype) * 2.0 - 1.0).latent_dist
        latents: Tensor = posterior.mean if generator is None else posterior.sample(generator)
        scale = float(self.vae.config.scaling_factor)
        return (latents * scale).to(images.dtype)

    def decode_latents(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Decodes latents with the VAE."""
        scaled = latents.to(self.vae.dtype) / self.vae.config.scaling_factor
        images: Tensor = self.vae.decode(scaled).sample
        return (images.to(latents.dtype) * 0.5 + 0.5).clamp(0.0, 1.0)

    def encode_prompts(
        self, prompts: Sequence[str], prefixes: Float[Tensor, "B P D"] | None = None
    ) -> Float[Tensor, "B L D"]:
        """Encodes prompts as cat(e_psi, c); see :meth:`Prior.encode_prompts`."""
        embedded: Tensor = self.prompt_encoder(prompts, prefixes)
        return embedded

    def embed_words(self, text: str) -> Float[Tensor, "P D"]:
        """The token embeddings of some words, in float32."""
        return self.prompt_encoder.embed_words(text).float()

    def predict_noise(self, rows: NoisyRows) -> Float[Tensor, "B C h w"]:
        """Predicts the noise of mixed rows; see :meth:`Prior.predict_noise`."""
        if unknown := set(rows.adapters) - self._adapters:
            raise ValueError(
                f"no adapter {', '.join(sorted(unknown))} is attached to the prior: "
                f"attach it, or use one of {', '.join(sorted(self._adapters))}"
            )
        dtype = self.unet.dtype
        self._cameras = rows.cameras
        try:
            with self._routing.rows(rows.adapters):
                output: Tensor = self.unet(
                    rows.latents.to(dtype), rows.timesteps, rows.text.to(dtype), return_dict=False
                )[0]
        finally:
            self._cameras = None
        output = output.to(rows.latents.dtype)
        if self.prediction_type == "v_prediction":
            alpha, sigma = self.signal_and_noise(rows.timesteps)
            output = alpha * output + sigma * rows.latents
        return output

    def _add_cameras(
        self, module: nn.Module, args: object, embedding: Float[Tensor, "B E"]
    ) -> Float[Tensor, "B E"]:
        if self._cameras is None:
            return embedding
        return embedding + self._cameras.to(embedding.dtype)
