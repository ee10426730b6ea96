"""Weights and inputs of MV-Adapter's parity test, from torch and diffusers alone."""

import torch
from multiview_parity import random

V = 6
AZIMUTHS_DEG = (0, 45, 90, 180, 270, 315)
_CROSS, _CROSS_UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
_COMMON = dict(
    sample_size=8,
    layers_per_block=1,
    cross_attention_dim=16,
    attention_head_dim=2,
    norm_num_groups=4,
    use_linear_projection=True,
)
LAYOUTS = {
    "sd21": _COMMON
    | dict(
        block_out_channels=(8, 16),
        down_block_types=(_CROSS, "DownBlock2D"),
        up_block_types=("UpBlock2D", _CROSS_UP),
    ),
    "sdxl": _COMMON
    | dict(
        block_out_channels=(8, 16, 24),
        cross_attention_dim=40,
        down_block_types=("DownBlock2D", _CROSS, _CROSS),
        up_block_types=(_CROSS_UP, _CROSS_UP, "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 20,
    ),
}
"""UNets of both kinds, as small as their group norms allow."""

POOLED, IMAGE_SIZE = 20, 16


def inputs(name):
    """What the base UNet is given: two sets of views, each with its time and text."""
    width = LAYOUTS[name]["cross_attention_dim"]
    given = {
        "sample": random("x", (2 * V, 4, 8, 8)),
        "timestep": torch.tensor([700, 300]).repeat_interleave(V),
        "encoder_hidden_states": random(f"context {name}", (2, 5, width)).repeat_interleave(V, 0),
    }
    if name == "sdxl":
        sizes = torch.tensor([IMAGE_SIZE, IMAGE_SIZE, 0, 0, IMAGE_SIZE, IMAGE_SIZE])
        pooled = random("pooled", (2, POOLED)).repeat_interleave(V, 0)
        given["added_cond_kwargs"] = {
            "text_embeds": pooled,
            "time_ids": sizes.float().expand(2 * V, -1),
        }
    return given
