"""Stable Diffusion of random weights, made in memory: no hub, no folder."""

from unittest.mock import patch

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.embeddings import TimestepEmbedding
from peft import LoraConfig
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from redream.adapters.base import ATTENTION
from redream.priors import StableDiffusionPrior
from redream.priors.diffusion import from_ddpm_scheduler
from redream.priors.families._clip_text import ClipText
from redream.priors.families.stable_diffusion import StableDiffusion
from redream.priors.miniature.stable_diffusion import stable_diffusion_schedule
from redream.priors.miniature.tokenizers import letter_tokenizer

SIZES = {
    "Stable Diffusion 2.1": {
        "channels": (320, 640, 1280, 1280), "heads": (5, 10, 20, 20), "layers_per_block": 2,
        "text": 1024, "text_layers": 23, "vae": (128, 256, 512, 512), "image_size": 512,
    },
    "a miniature of Stable Diffusion 2.1": {
        "channels": (192, 384), "heads": (3, 6), "layers_per_block": 1,
        "text": 256, "text_layers": 2, "vae": (32, 32, 32, 32), "image_size": 256,
    },
}  # fmt: skip
"""What the configuration files of 2.1-base say, and two narrow levels of the same kind."""


def make_prior(name: str, image_size: int, **options: object) -> StableDiffusionPrior:
    """A prior of the real class on random weights.

    Args:
        name: Of ``SIZES``.
        image_size: Side of the pictures in pixels, eight times that of the latents.
        **options: Further arguments of the prior; ``dtype`` is that of the weights.
    """
    family = make_family(name)
    dtype = getattr(torch, str(options.get("dtype", "float32")))
    for part in (family.vae, family.denoiser, family.encoders):
        nn.Module.to(part, dtype)  # without diffusers' warning that it keeps nothing in float32
    with patch("redream.priors.stable_diffusion.load_family", return_value=family):
        return StableDiffusionPrior(name, image_size=image_size, **options)


def make_family(name: str) -> StableDiffusion:
    """The networks of random weights.

    Args:
        name: Of ``SIZES``.
    """
    size = SIZES[name]
    deeper = len(size["channels"]) - 1
    unet = UNet2DConditionModel(
        sample_size=size["image_size"] // 8,
        block_out_channels=size["channels"],
        layers_per_block=size["layers_per_block"],
        down_block_types=(*["CrossAttnDownBlock2D"] * deeper, "DownBlock2D"),
        up_block_types=("UpBlock2D", *["CrossAttnUpBlock2D"] * deeper),
        attention_head_dim=size["heads"],  # diffusers' name for the number of heads
        cross_attention_dim=size["text"],
        use_linear_projection=True,
    )
    vae = AutoencoderKL(
        block_out_channels=size["vae"],
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=size["image_size"],
    )
    tokenizer = letter_tokenizer(77)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=size["text"],
        intermediate_size=4 * size["text"],
        num_hidden_layers=size["text_layers"],
        num_attention_heads=size["text"] // 64,
        hidden_act="gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    diffusion = from_ddpm_scheduler(stable_diffusion_schedule("epsilon"))
    family = StableDiffusion(vae, unet, diffusion)
    family.encoders.append(ClipText(tokenizer, CLIPTextModel(text)))
    return family


def plain_unet(prior: StableDiffusionPrior) -> UNet2DConditionModel:
    """A second network on the frozen weights of a prior that has no adapters yet."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**prior.family.denoiser.config)
    unet.load_state_dict(prior.family.denoiser.state_dict(), assign=True)
    return unet.requires_grad_(False).eval()


def unet_with_lora(prior: StableDiffusionPrior) -> UNet2DConditionModel:
    """The peers' network for zeta: the same weights with LoRA and a camera embedding."""
    unet = plain_unet(prior)
    unet.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=list(ATTENTION)), "zeta")
    for name, parameter in unet.named_parameters():
        if "lora" in name:
            parameter.data = parameter.data.float()
    camera = TimestepEmbedding(16, unet.time_embedding.linear_2.out_features)
    unet.class_embedding = camera.to(unet.device, unet.dtype)
    return unet.eval()
