"""The half of an open_clip that sees pictures, as transformers has it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from redream.priors.families.ldm import first_misfit

_NAMES = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
}
_LAYERS = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def clip_of_open_clip(tensors: Mapping[str, Tensor], head_width: int = 80) -> Any:  # noqa: ANN401
    """A vision transformer of open_clip's as a ``CLIPVisionModel``.

    Args:
        tensors: Of ``visual``, without that prefix.
        head_width: Channels of an attention head; 80 in ViT-H-14.

    Returns:
        The network.

    Raises:
        ValueError: If they are of another one.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModel

    if not set(_NAMES) <= set(tensors):
        raise ValueError("it has no CLIP that sees pictures")
    width, _, patch, _ = tensors["conv1.weight"].shape
    num = sum(name.endswith("ln_1.weight") for name in tensors)
    places = int((len(tensors["positional_embedding"]) - 1) ** 0.5)
    state = {ours: tensors[theirs] for theirs, ours in _NAMES.items()}
    for index in range(num):
        theirs, ours = f"transformer.resblocks.{index}", f"encoder.layers.{index}"
        for old, new in _LAYERS.items():
            for end in ("weight", "bias"):
                state[f"{ours}.{new}.{end}"] = tensors[f"{theirs}.{old}.{end}"]
        for end in ("weight", "bias"):
            parts = tensors[f"{theirs}.attn.in_proj_{end}"].chunk(3)
            for letter, part in zip("qkv", parts, strict=True):
                state[f"{ours}.self_attn.{letter}_proj.{end}"] = part
    config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=tensors["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        num_hidden_layers=num,
        num_attention_heads=width // head_width,
        image_size=places * patch,
        patch_size=patch,
        hidden_act="gelu",
    )
    network = CLIPVisionModel(config)
    known = network.state_dict()
    prefix = "vision_model." if any(name.startswith("vision_model.") for name in known) else ""
    named = {prefix + name: each.to(torch.float32) for name, each in state.items()}
    try:
        network.load_state_dict(named)
    except RuntimeError as error:
        raise ValueError(f"its CLIP is of another layout ({first_misfit(error)})") from error
    return network.eval()
