"""A Stable Diffusion XL of random weights: two text encoders of different widths."""

from pathlib import Path
from typing import Any

import torch

from redream.priors.miniature.clip import PROMPT_LENGTH, clip_config
from redream.priors.miniature.stable_diffusion import small_vae, stable_diffusion_schedule
from redream.priors.miniature.tokenizers import letter_tokenizer


def save_miniature_xl(folder: str | Path, seed: int = 0, **unet: Any) -> None:  # noqa: ANN401
    """Writes a whole folder that ``StableDiffusionXLPipeline`` loads.

    Pictures are 16x16, latents 4x8x8, prompts 16 tokens 16 + 24 wide.

    Args:
        folder: Where ``from_pretrained`` will find it.
        seed: Seed of the weights.
        **unet: Further options of the ``UNet2DConditionModel``.
    """
    from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = letter_tokenizer(PROMPT_LENGTH)
        pipeline = StableDiffusionXLPipeline(
            vae=small_vae(),
            text_encoder=CLIPTextModel(clip_config(tokenizer, 16)),
            text_encoder_2=CLIPTextModelWithProjection(clip_config(tokenizer, 24, 20)),
            tokenizer=tokenizer,
            tokenizer_2=letter_tokenizer(PROMPT_LENGTH),
            unet=UNet2DConditionModel(
                **{
                    "sample_size": 8,
                    "block_out_channels": (8, 16),
                    "layers_per_block": 1,
                    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
                    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
                    "cross_attention_dim": 16 + 24,
                    "attention_head_dim": 2,
                    "norm_num_groups": 4,
                    "use_linear_projection": True,
                    "addition_embed_type": "text_time",
                    "addition_time_embed_dim": 8,
                    "projection_class_embeddings_input_dim": 6 * 8 + 20,
                    **unet,
                }
            ),
            scheduler=stable_diffusion_schedule("epsilon"),
            force_zeros_for_empty_prompt=True,
            add_watermarker=False,
        )
    pipeline.save_pretrained(folder)
