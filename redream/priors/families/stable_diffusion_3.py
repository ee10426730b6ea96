"""Stable Diffusion 3: a transformer on a rectified flow, two CLIPs and perhaps a T5."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad
from typing_extensions import Self

from redream.priors.diffusion import FLOW, from_flow_scheduler
from redream.priors.families._clip_text import ClipText
from redream.priors.families._t5_text import T5_LENGTH, T5Text
from redream.priors.families.base import (
    Family,
    Loader,
    append_pooled,
    require_stated_scale,
    require_width,
    split_pooled,
)


class StableDiffusion3(Family):
    """Models of ``StableDiffusion3Pipeline`` (Esser et al., 2024), 3 and 3.5.

    T5 is read where the folder has a ``text_encoder_3``; users leave it out to save memory.
    """

    component = "transformer"
    step_bytes = (11_700, 3_950)
    process = FLOW
    parts = (
        "vae", "transformer", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2",
        "scheduler",
    )  # fmt: skip
    optional_parts = ("text_encoder_3", "tokenizer_3")

    @classmethod
    def load(cls, load: Loader, index: dict[str, Any]) -> Self:
        """Reads the parts; see :meth:`Family.load`."""
        from diffusers import (
            AutoencoderKL,
            FlowMatchEulerDiscreteScheduler,
            SD3Transformer2DModel,
        )
        from transformers import (
            CLIPTextModelWithProjection,
            CLIPTokenizer,
            T5EncoderModel,
            T5TokenizerFast,
        )

        diffusion = from_flow_scheduler(load(FlowMatchEulerDiscreteScheduler, "scheduler"))
        denoiser = load(SD3Transformer2DModel, "transformer")
        family = cls(load(AutoencoderKL, "vae"), denoiser, diffusion)
        for end in ("", "_2"):
            encoder = load(CLIPTextModelWithProjection, f"text_encoder{end}")
            family.encoders.append(ClipText(load(CLIPTokenizer, f"tokenizer{end}"), encoder))
        if (index.get("text_encoder_3") or (None, None))[1] is not None:
            encoder = load(T5EncoderModel, "text_encoder_3")
            family.encoders.append(T5Text(load(T5TokenizerFast, "tokenizer_3"), encoder))
        return family

    def require_plain(self) -> None:
        """Refuses texts of another width; see :meth:`Family.require_plain`."""
        super().require_plain()
        require_stated_scale(self.vae)
        config = self.denoiser.config
        encoders: list[Any] = [*self.encoders]
        widths = [int(encoder.width) for encoder in encoders]
        pooled = sum(int(each.text_encoder.config.projection_dim) for each in encoders[:2])
        require_width(int(config.pooled_projection_dim), pooled, "pooled texts")
        reads = int(config.joint_attention_dim)
        require_width(reads, max(reads, sum(widths[:2])), "texts")  # narrower ones are filled up
        if len(encoders) == 3:
            require_width(reads, widths[2], "texts")

    def pipeline(self) -> Any:  # noqa: ANN401  (diffusers')
        """The parts as a ``StableDiffusion3Pipeline``."""
        from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline

        encoders: list[Any] = [*self.encoders]
        t5 = encoders[2] if len(encoders) == 3 else None
        return StableDiffusion3Pipeline(
            transformer=self.denoiser,
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=self.vae,
            text_encoder=encoders[0].text_encoder,
            tokenizer=encoders[0].tokenizer,
            text_encoder_2=encoders[1].text_encoder,
            tokenizer_2=encoders[1].tokenizer,
            text_encoder_3=None if t5 is None else t5.text_encoder,
            tokenizer_3=None if t5 is None else t5.tokenizer,
        )

    @property
    def time_embedding(self) -> nn.Module:
        """The MLPs on time and pooled text, summed."""
        layer: nn.Module = self.denoiser.time_text_embed
        return layer

    @property
    def time_embedding_dim(self) -> int:
        """Width of their output."""
        return int(self.denoiser.inner_dim)

    def encode_prompts(
        self, prompts: Sequence[str], prefixes: Float[Tensor, "B P D"] | None
    ) -> Float[Tensor, "B L D"]:
        """CLIPs' last hidden states but one, then T5's last, then the CLIPs' pooled texts."""
        width = int(self.denoiser.config.joint_attention_dim)
        encoded = [
            encoder(prompts, prefix)
            for encoder, prefix in zip(
                self.encoders, self.prefixes_of_encoders(prefixes), strict=True
            )
        ]
        clip = torch.cat([each.penultimate for each in encoded[:2]], dim=-1)
        clip = pad(clip, (0, width - clip.shape[-1]))
        if len(encoded) == 3:
            t5 = encoded[2].to(clip)
        else:  # zeros of the same length, as diffusers' pipeline has them
            t5 = clip.new_zeros(len(clip), T5_LENGTH, width)
        pooled = torch.cat([each.pooled for each in encoded[:2]], dim=-1)
        return append_pooled(torch.cat([clip, t5], dim=1), pooled)

    def denoise(
        self,
        noisy: Float[Tensor, "B C h w"],
        times: Float[Tensor, " B"],
        text: Float[Tensor, "B L D"],
        image_size: int,
    ) -> Float[Tensor, "B C h w"]:
        """The transformer's answer."""
        tokens, pooled = split_pooled(text, int(self.denoiser.config.pooled_projection_dim))
        output: Tensor = self.denoiser(noisy, tokens, pooled, times, return_dict=False)[0]
        return output
