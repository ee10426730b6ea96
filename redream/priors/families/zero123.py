"""Zero123: a Stable Diffusion that sees a picture, and knows how a view lies to it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate
from typing_extensions import Self

from redream.priors.diffusion import from_ddpm_scheduler
from redream.priors.families._parts import weights_file
from redream.priors.families.base import PLAIN, Loader, require_width
from redream.priors.families.stable_diffusion import StableDiffusion

POSE_WIDTH = 4
PROJECTIONS = ("cc_projection", "clip_camera_projection")
"""What converters call the layer that mixes picture and pose."""

POSE_FIELD = "zero123_pose"
"""Field of ``model_index.json`` that says what the fourth number of a pose means."""

_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Zero123(StableDiffusion):
    """Zero123 (Liu et al., 2023), 105000, 165000 or XL, and Stable Zero123, in diffusers' format.

    Attributes:
        stated: What the folder says of its pose's fourth number: ``distance`` of Zero123 or
            ``elevation`` of Stable Zero123; None where it says nothing.
    """

    projection: "Projection"
    stated: str | None

    parts: ClassVar[tuple[str, ...]] = ("vae", "unet", "image_encoder", "scheduler")
    optional_parts: ClassVar[tuple[str, ...]] = PROJECTIONS
    other_classes: ClassVar[tuple[str, ...]] = (
        "CCProjection",
        "CLIPCameraProjection",
        "UNet2DConditionModel",
        "CLIPVisionModel",
    )

    @classmethod
    def load(cls, load: Loader, index: dict[str, Any]) -> Self:
        """Reads the parts; see :meth:`Family.load`."""
        from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
        from transformers import CLIPVisionModelWithProjection

        diffusion = from_ddpm_scheduler(load(DDPMScheduler, "scheduler"))
        family = cls(load(AutoencoderKL, "vae"), load(UNet2DConditionModel, "unet"), diffusion)
        family.encoders.append(load(CLIPVisionModelWithProjection, "image_encoder"))
        named = [part for part in PROJECTIONS if part in index]
        family.projection = load(Projection, named[0] if named else PROJECTIONS[0])
        family.stated = index.get(POSE_FIELD)
        return family

    def require_plain(self) -> None:
        """Makes sure that the parts belong together; see :meth:`Family.require_plain`."""
        config, latents = self.denoiser.config, int(self.vae.config.latent_channels)
        if config.in_channels != 2 * latents:
            raise ValueError(
                f"its UNet takes {config.in_channels} channels, and a view and a picture have "
                f"{2 * latents} latent ones: give a Zero123"
            )
        if (config.out_channels or latents) != latents:
            raise ValueError(f"its UNet answers with {config.out_channels} channels: {PLAIN}")
        require_width(config.cross_attention_dim, self.projection.out_features, "conditions")
        written = int(self.image_encoder.config.projection_dim) + POSE_WIDTH
        require_width(self.projection.in_features, written, "pictures and poses")

    @property
    def image_encoder(self) -> Any:  # noqa: ANN401  (transformers')
        """CLIP's picture encoder."""
        if not self.encoders:
            raise RuntimeError("the picture encoder was freed: encode pictures before that")
        return self.encoders[0]

    @property
    def width(self) -> int:
        """Width of a condition."""
        return self.projection.out_features

    def pipeline(self) -> Any:  # noqa: ANN401  (diffusers')
        """None that reads LoRAs.

        Raises:
            ValueError: Always.
        """
        raise ValueError("Zero123 takes no LoRAs: leave loras out")

    def encode_prompts(
        self, prompts: Sequence[str], prefixes: Float[Tensor, "B P D"] | None
    ) -> Float[Tensor, "B L D"]:
        """Zeros: it does not read."""
        return torch.zeros(len(prompts), 1, self.width, device=self.projection.weight.device)

    def embed_words(self, text: str) -> Float[Tensor, "P D"]:
        """One zero a word."""
        return torch.zeros(len(text.split()), self.width, device=self.projection.weight.device)

    def encode_picture(self, picture: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B E"]:
        """CLIP's embedding.

        Args:
            picture: In [0, 1], of the side that views have.
        """
        encoder, dtype = self.image_encoder, self.projection.weight.dtype
        pixels = clip_pixels(picture, int(encoder.config.image_size))
        embedded: Tensor = encoder(pixels.to(dtype)).image_embeds
        return embedded

    def denoise_seen(
        self,
        noisy: Float[Tensor, "B C h w"],
        times: Float[Tensor, " B"],
        picture: Float[Tensor, "B E"],
        pose: Float[Tensor, "B 4"],
        latents: Float[Tensor, "B C h w"],
        is_seen: Float[Tensor, " B"],
    ) -> Float[Tensor, "B C h w"]:
        """The UNet's answer to views of an object.

        Args:
            noisy: x_t.
            times: What the UNet is told of t.
            picture: CLIP's embedding of the picture.
            pose: How the view lies to it.
            latents: Of the picture, unscaled.
            is_seen: 1, or 0 for rows that are to know nothing of the picture.
        """
        both = torch.cat([picture, pose], dim=1).to(noisy.dtype)
        condition = is_seen[:, None].to(noisy.dtype) * self.projection(both)
        stacked = torch.cat([noisy, latents.to(noisy.dtype)], dim=1)
        output: Tensor = self.denoiser(stacked, times, condition[:, None], return_dict=False)[0]
        return output


def clip_pixels(picture: Float[Tensor, "B 3 H W"], side: int) -> Float[Tensor, "B 3 S S"]:
    """A picture as CLIP saw it in training: bicubic, corner to corner, not antialiased.

    Args:
        picture: In [0, 1].
        side: What CLIP reads.
    """
    small = interpolate(picture, (side, side), mode="bicubic", align_corners=True)
    mean, std = (small.new_tensor(each).view(3, 1, 1) for each in (_MEAN, _STD))
    return (small - mean) / std


class Projection(nn.Linear):
    """The linear layer that mixes a picture's embedding and a pose."""

    @classmethod
    def read_part(cls, folder: Path, dtype: torch.dtype, variant: str | None) -> "Projection":
        """Reads it, whatever its converter called the layer.

        Raises:
            ValueError: If the file has another network.
        """
        tensors = load_file(weights_file(folder, variant))
        ends = {name.rpartition(".")[2]: each for name, each in tensors.items()}
        if set(ends) != {"weight", "bias"} or len(tensors) != 2 or ends["weight"].ndim != 2:
            raise ValueError(f"{folder.name}/ is not one linear layer: give Zero123's own")
        layer = cls(ends["weight"].shape[1], ends["weight"].shape[0])
        layer.load_state_dict(ends)
        return layer.to(dtype)
