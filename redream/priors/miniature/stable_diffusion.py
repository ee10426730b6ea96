"""A Stable Diffusion of random weights in the ordinary diffusers format, for tests."""

from pathlib import Path
from typing import Any, Literal

import torch

from redream.priors.miniature.clip import PROMPT_LENGTH, clip_config
from redream.priors.miniature.tokenizers import letter_tokenizer


def save_miniature(
    folder: str | Path,
    prediction_type: Literal["epsilon", "v_prediction"] = "epsilon",
    seed: int = 0,
    **unet: Any,  # noqa: ANN401
) -> None:
    """Writes a whole diffusers folder of a few hundred kilobytes in about a second.

    Pictures are 16x16, latents 4x8x8, prompts 16 tokens 16 wide. Equal seeds give equal weights.

    Args:
        folder: Where ``from_pretrained`` will find it.
        prediction_type: What the scheduler says that the UNet predicts.
        seed: Seed of the weights.
        **unet: Further options of the ``UNet2DConditionModel``.
    """
    # Imported here: they take seconds, and importing redream.priors must not.
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = letter_tokenizer(PROMPT_LENGTH)
        pipeline = StableDiffusionPipeline(
            vae=small_vae(),
            text_encoder=CLIPTextModel(clip_config(tokenizer, 16)),
            tokenizer=tokenizer,
            unet=UNet2DConditionModel(
                **{
                    "sample_size": 8,
                    "block_out_channels": (8, 16),
                    "layers_per_block": 1,
                    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
                    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
                    "cross_attention_dim": 16,
                    "attention_head_dim": 2,
                    "norm_num_groups": 4,
                    **unet,
                }
            ),
            scheduler=stable_diffusion_schedule(prediction_type),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.save_pretrained(folder)


def small_vae(**options: Any) -> Any:  # noqa: ANN401
    """An autoencoder of 16x16 pictures to 4x8x8 latents."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
        **options,
    )


def stable_diffusion_schedule(prediction_type: str) -> Any:  # noqa: ANN401
    """Stable Diffusion's own noise schedule."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction_type,
        clip_sample=False,
        steps_offset=1,
    )
