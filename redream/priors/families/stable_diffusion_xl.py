"""Stable Diffusion XL: a UNet told of two text encoders, a pooled text and the picture's size."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Self

from redream.priors.diffusion import from_ddpm_scheduler
from redream.priors.families._clip_text import ClipText
from redream.priors.families.base import (
    PLAIN,
    Loader,
    append_pooled,
    require_stated_scale,
    require_width,
    split_pooled,
)
from redream.priors.families.stable_diffusion import StableDiffusion


class StableDiffusionXL(StableDiffusion):
    """Models of ``StableDiffusionXLPipeline`` (Podell et al., 2023)."""

    parts = (*StableDiffusion.parts, "text_encoder_2", "tokenizer_2")
    added_conditions = ("text_time",)
    zeros_for_empty = True
    vae_overflows = True
    step_bytes = (11_300, 3_950)

    @classmethod
    def load(cls, load: Loader, index: dict[str, Any]) -> Self:
        """Reads the parts; see :meth:`Family.load`."""
        from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

        diffusion = from_ddpm_scheduler(load(DDPMScheduler, "scheduler"))
        family = cls(load(AutoencoderKL, "vae"), load(UNet2DConditionModel, "unet"), diffusion)
        for end, kind in (("", CLIPTextModel), ("_2", CLIPTextModelWithProjection)):
            tokenizer = load(CLIPTokenizer, f"tokenizer{end}")
            family.encoders.append(ClipText(tokenizer, load(kind, f"text_encoder{end}")))
        family.zeros_for_empty = bool(index.get("force_zeros_for_empty_prompt", True))
        return family

    def require_plain(self) -> None:
        """Refuses refiners, and texts of another width; see :meth:`Family.require_plain`."""
        super().require_plain()
        require_stated_scale(self.vae)
        config, second = self.denoiser.config, cast(Any, self.encoders[1]).text_encoder
        pooled, size = int(second.config.projection_dim), int(config.addition_time_embed_dim)
        told = config.projection_class_embeddings_input_dim
        if told == 5 * size + pooled:
            raise ValueError(f"its UNet is a refiner's, told an aesthetic score: {PLAIN}")
        require_width(told - 6 * size, pooled, "pooled texts")

    def pipeline(self) -> Any:  # noqa: ANN401  (diffusers')
        """The parts as a ``StableDiffusionXLPipeline``."""
        from diffusers import DDPMScheduler, StableDiffusionXLPipeline

        one, two = self.encoders
        return StableDiffusionXLPipeline(
            vae=self.vae,
            text_encoder=one.text_encoder,
            text_encoder_2=two.text_encoder,
            tokenizer=one.tokenizer,
            tokenizer_2=two.tokenizer,
            unet=self.denoiser,
            scheduler=DDPMScheduler(clip_sample=False, steps_offset=1),
            add_watermarker=False,
        )

    @property
    def lora_options(self) -> dict[str, Any]:
        """Nothing: its pipeline reads the UNet's config itself."""
        return {}

    def encode_prompts(
        self, prompts: Sequence[str], prefixes: Float[Tensor, "B P D"] | None
    ) -> Float[Tensor, "B L D"]:
        """Both encoders' last hidden states but one, and the second's pooled text behind them.

        Of an empty prompt all are zero where the model was trained so.
        """
        one, two = (
            encoder(prompts, prefix)
            for encoder, prefix in zip(
                self.encoders, self.prefixes_of_encoders(prefixes), strict=True
            )
        )
        tokens = torch.cat([one.penultimate, two.penultimate], dim=-1)
        text = append_pooled(tokens, two.pooled)
        if self.zeros_for_empty and prefixes is None:
            said = torch.tensor([bool(prompt.strip()) for prompt in prompts], device=text.device)
            text = text * said[:, None, None]
        return text

    def denoise(
        self,
        noisy: Float[Tensor, "B C h w"],
        times: Float[Tensor, " B"],
        text: Float[Tensor, "B L D"],
        image_size: int,
        added: list[Tensor] | None = None,
    ) -> Float[Tensor, "B C h w"]:
        """The UNet's answer for whole pictures: original and target size agree, nothing is cut.

        ``added`` is what an adapter adds to its blocks on the way down.
        """
        size_dim = 6 * int(self.denoiser.config.addition_time_embed_dim)
        pooled_dim = int(self.denoiser.add_embedding.linear_1.in_features) - size_dim
        tokens, pooled = split_pooled(text, pooled_dim)
        sizes = noisy.new_tensor([image_size, image_size, 0, 0, image_size, image_size])
        conditions = {"text_embeds": pooled, "time_ids": sizes.expand(len(noisy), -1)}
        output: Tensor = self.denoiser(
            noisy,
            times,
            tokens,
            added_cond_kwargs=conditions,
            down_intrablock_additional_residuals=added,
            return_dict=False,
        )[0]
        return output
