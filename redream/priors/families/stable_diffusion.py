"""Stable Diffusion 1 and 2: a UNet and one CLIP text encoder."""

from collections.abc import Sequence
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import Self

from redream.priors.diffusion import DDPM, from_ddpm_scheduler
from redream.priors.families._clip_text import ClipText
from redream.priors.families.base import PLAIN, Family, Loader, require_width


class StableDiffusion(Family):
    """Models of ``StableDiffusionPipeline``, such as 1.5, 2.1-base and 2.1.

    Attributes:
        added_conditions: The kinds of further conditions (``addition_embed_type``) of its UNets.
        class_conditions: The kinds of labels (``class_embed_type``) of its UNets.
    """

    component = "unet"
    step_bytes = (7_700, 3_950)
    process = DDPM
    added_conditions: ClassVar[tuple[str | None, ...]] = (None, "text")
    class_conditions: ClassVar[tuple[str | None, ...]] = (None,)
    parts: ClassVar[tuple[str, ...]] = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")

    @classmethod
    def load(cls, load: Loader, index: dict[str, Any]) -> Self:
        """Reads the parts; see :meth:`Family.load`."""
        from diffusers import UNet2DConditionModel

        return cls._load_around(load, UNet2DConditionModel)

    @classmethod
    def _load_around(cls, load: Loader, unet: type[Any]) -> Self:
        """Reads the parts, the UNet as a class of one's own."""
        from diffusers import AutoencoderKL, DDPMScheduler
        from transformers import CLIPTextModel, CLIPTokenizer

        diffusion = from_ddpm_scheduler(load(DDPMScheduler, "scheduler"))
        family = cls(load(AutoencoderKL, "vae"), load(unet, "unet"), diffusion)
        tokenizer, encoder = load(CLIPTokenizer, "tokenizer"), load(CLIPTextModel, "text_encoder")
        family.encoders.append(ClipText(tokenizer, encoder))
        return family

    def require_plain(self) -> None:
        """Refuses a UNet that wants to be told more; see :meth:`Family.require_plain`."""
        super().require_plain()
        config = self.denoiser.config
        for field, known, what in (
            ("class_embed_type", self.class_conditions, "class labels"),
            ("num_class_embeds", (None,), "class labels"),
            ("time_cond_proj_dim", (None,), "the guidance it was distilled with"),
            ("encoder_hid_dim_type", (None, "text_proj"), "embeddings of pictures"),
            ("addition_embed_type", self.added_conditions, "other conditions"),
        ):
            if config.get(field) not in known:
                raise ValueError(
                    f"its UNet wants to be told {what} ({field} is {config[field]!r}): {PLAIN}"
                )
        reads = config.encoder_hid_dim or config.cross_attention_dim
        if isinstance(reads, int):  # else one a block
            encoders: list[Any] = [*self.encoders]
            require_width(reads, sum(int(each.width) for each in encoders), "texts")

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
        added: list[Tensor] | None = None,
    ) -> Float[Tensor, "B C h w"]:
        """The UNet's answer; ``added`` is what an adapter adds to its blocks on the way down."""
        output: Tensor = self.denoiser(
            noisy, times, text, down_intrablock_additional_residuals=added, return_dict=False
        )[0]
        return output
