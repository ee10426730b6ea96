"""A Stable Diffusion 3 of random weights: a transformer on a rectified flow."""

from pathlib import Path
from typing import Any

import torch

from redream.priors.miniature.clip import PROMPT_LENGTH, clip_config
from redream.priors.miniature.stable_diffusion import small_vae
from redream.priors.miniature.tokenizers import letter_tokenizer, piece_tokenizer


def save_miniature_3(
    folder: str | Path,
    seed: int = 0,
    t5: bool = True,
    shift: float = 3.0,
    **transformer: Any,  # noqa: ANN401
) -> None:
    """Writes a whole folder that ``StableDiffusion3Pipeline`` loads.

    Pictures are 16x16, latents 4x8x8, tokens 48 wide.

    Args:
        folder: Where ``from_pretrained`` will find it.
        seed: Seed of the weights.
        t5: Whether there is a T5 beside the two CLIPs.
        shift: The scheduler's shift toward noise; 3 as in the real one.
        **transformer: Further options of the ``SD3Transformer2DModel``.
    """
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )
    from transformers import CLIPTextModelWithProjection, T5Config, T5EncoderModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = letter_tokenizer(PROMPT_LENGTH)
        pieces = piece_tokenizer()
        config = T5Config(
            vocab_size=len(pieces), d_model=48, d_kv=8, d_ff=32, num_layers=1, num_heads=2
        )
        pipeline = StableDiffusion3Pipeline(
            transformer=SD3Transformer2DModel(
                **{
                    "sample_size": 8,
                    "patch_size": 2,
                    "in_channels": 4,
                    "out_channels": 4,
                    "num_layers": 2,
                    "attention_head_dim": 8,
                    "num_attention_heads": 2,
                    "joint_attention_dim": 48,
                    "caption_projection_dim": 16,
                    "pooled_projection_dim": 16 + 20,
                    "pos_embed_max_size": 8,
                    **transformer,
                }
            ),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
            vae=small_vae(scaling_factor=1.5305, shift_factor=0.0609),
            text_encoder=CLIPTextModelWithProjection(clip_config(tokenizer, 16)),
            tokenizer=tokenizer,
            text_encoder_2=CLIPTextModelWithProjection(clip_config(tokenizer, 24, 20)),
            tokenizer_2=letter_tokenizer(PROMPT_LENGTH),
            text_encoder_3=T5EncoderModel(config) if t5 else None,
            tokenizer_3=pieces if t5 else None,
        )
    pipeline.save_pretrained(folder)
