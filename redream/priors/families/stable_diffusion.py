"""Stable Diffusion 1 and 2: a UNet and one CLIP text encoder."""

from collections.abc import Sequence
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import Self

from redream.priors.diffusion import from_ddpm_scheduler
from redream.priors.families._clip_text import ClipText
from redream.priors.families.base import Family, Loader


class StableDiffusion(Family):
    """Models of ``StableDiffusionPipeline``, such as 1.5, 2.1-base and 2.1."""

    component = "unet"
    parts: ClassVar[tuple[str, ...]] = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")

    @classmethod
    def load(cls, load: Loader, index: dict[str, Any]) -> Self:
        """Reads the parts; see :meth:`Family.load`."""
        from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTokenizer

        diffusion = from_ddpm_scheduler(load(DDPMScheduler, "scheduler"))
        family = cls(load(AutoencoderKL, "vae"), load(UNet2DConditionModel, "unet"), diffusion)
        tokenizer, encoder = load(CLIPTokenizer, "tokenizer"), load(CLIPTextModel, "text_encoder")
        family.encoders.append(ClipText(tokenizer, encoder))
        return family

    def pipeline(self) -> Any:  # noqa: ANN401  (diffusers')
        """The parts as a ``StableDiffusionPipeline``."""
        from diffusers import DDPMScheduler, StableDiffusionPipeline

        clip: Any = self.encoders[0]
        return StableDiffusionPipeline(
            vae=self.vae,
            text_encoder=clip.text_encoder,
            tokenizer=clip.tokenizer,
            unet=self.denoiser,
            scheduler=DDPMScheduler(clip_sample=False, steps_offset=1),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    @property
    def lora_options(self) -> dict[str, Any]:
        """The UNet's config, by which blocks in the original code's names are found."""
        return {"unet_config": self.denoiser.config}

    @property
    def time_embedding(self) -> nn.Module:
        """The UNet's MLP on the sinusoids of time."""
        layer: nn.Module = self.denoiser.time_embedding
        return layer

    @property
    def time_embedding_dim(self) -> int:
        """Width of its output."""
        return int(self.denoiser.time_embedding.linear_2.out_features)

    def encode_prompts(
        self, prompts: Sequence[str], prefixes: Float[Tensor, "B P D"] | None
    ) -> Float[Tensor, "B L D"]:
        """CLIP's last hidden states."""
        hidden: Tensor = self.encoders[0](prompts, prefixes).last
        return hidden

    def denoise(
        self,
        noisy: Float[Tensor, "B C h w"],
        times: Float[Tensor, " B"],
        text: Float[Tensor, "B L D"],
        image_size: int,
    ) -> Float[Tensor, "B C h w"]:
        """The UNet's answer."""
        output: Tensor = self.denoiser(noisy, times, text, return_dict=False)[0]
        return output
