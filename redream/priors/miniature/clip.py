"""CLIP text encoders of random weights."""

from typing import Any

PROMPT_LENGTH = 16


def clip_config(tokenizer: Any, width: int, projection: int = 16) -> Any:  # noqa: ANN401
    """The configuration of a CLIP text encoder of two layers."""
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=projection,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=PROMPT_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
