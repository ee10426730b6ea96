"""Weights and inputs of the parity test: the same in both environments, from torch alone.

``python tests/priors/parity.py FOLDER`` writes the two models that threestudio's code loads.
"""

import sys
import zlib

import torch

UNET = {"block_out_channels": (320, 32), "attention_head_dim": 8}
"""threestudio's camera embedding is 1280 wide, 4 times the first block."""

LORA_RANK = 4


def random(name, shape, scale=1.0):
    """Values that depend on the name alone."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return scale * torch.randn(shape, generator=generator)


@torch.no_grad()
def fill(module, skip=()):
    """Gives every parameter values that depend on its name alone."""
    for name, parameter in module.named_parameters():
        if any(part in name for part in skip):
            continue
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
        offset = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        scale = fan_in**-0.5 if parameter.ndim > 1 else 0.1
        parameter.copy_(offset + random(name, parameter.shape, scale))


@torch.no_grad()
def fill_lora(layers):
    """Fills pairs of ``down`` and ``up`` by the path of the layer that they adapt."""
    for path, pair in layers:
        for end in ("down", "up"):
            weight = getattr(pair, end).weight
            weight.copy_(random(f"{path}.{end}", weight.shape, 0.1))


@torch.no_grad()
def fill_camera(first, last):
    """Fills the two layers of the camera's embedding."""
    for name, layer in (("first", first), ("last", last)):
        layer.weight.copy_(random(f"{name}.weight", layer.weight.shape, 0.05))
        layer.bias.copy_(random(f"{name}.bias", layer.bias.shape, 0.05))


def inputs():
    """Two views: latents, texts as (prompt, negative) with and without view words, cameras."""
    return {
        "latents": random("latents", (2, 4, 8, 8)),
        "text_vd": random("text_vd", (4, 16, 16)),
        "text": random("text", (4, 16, 16)),
        "c2w": random("c2w", (2, 4, 4)),
    }


if __name__ == "__main__":
    from redream.priors.miniature import save_miniature

    for prediction_type in ("epsilon", "v_prediction"):
        save_miniature(f"{sys.argv[1]}/{prediction_type}", prediction_type, **UNET)
