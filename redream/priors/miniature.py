"""A Stable Diffusion of random weights in the ordinary diffusers format, for tests."""

import string
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

WORDS = ("front", "side", "back", "view", "a", "of", "dog", "corgi", "striped")


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
    from diffusers import (
        AutoencoderKL,
        DDPMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = letter_tokenizer(max_length=16)
        pipeline = StableDiffusionPipeline(
            vae=AutoencoderKL(
                block_out_channels=(8, 16),
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                latent_channels=4,
                norm_num_groups=4,
                sample_size=16,
            ),
            text_encoder=CLIPTextModel(
                CLIPTextConfig(
                    vocab_size=len(tokenizer),
                    hidden_size=16,
                    intermediate_size=32,
                    num_hidden_layers=2,
                    num_attention_heads=2,
                    max_position_embeddings=16,
                    bos_token_id=tokenizer.bos_token_id,
                    eos_token_id=tokenizer.eos_token_id,
                    pad_token_id=tokenizer.pad_token_id,
                )
            ),
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
            scheduler=DDPMScheduler(  # Stable Diffusion's own schedule
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                prediction_type=prediction_type,
                clip_sample=False,
                steps_offset=1,
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.save_pretrained(folder)


def letter_tokenizer(max_length: int) -> "CLIPTokenizer":
    """A CLIP tokenizer that knows the lower-case letters and a few whole words."""
    from transformers import CLIPTokenizer

    tokens = ["<|startoftext|>", "<|endoftext|>"]
    tokens += [letter + end for letter in string.ascii_lowercase for end in ("", "</w>")]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces[:2] = [pieces[0] + pieces[1]]
            tokens.append(pieces[0])
    vocab = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(
        vocab=vocab, merges=list(dict.fromkeys(merges)), model_max_length=max_length
    )
