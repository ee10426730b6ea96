"""The half of a CLIP that sees pictures, open_clip's or OpenAI's, as transformers has it."""

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


def clip_of_open_clip(
    tensors: Mapping[str, Tensor],
    head_width: int = 80,
    hidden_act: str = "gelu",
    projects: bool = False,
) -> Any:  # noqa: ANN401
    """A vision transformer of open_clip's, or OpenAI's, as a ``CLIPVisionModel``.

    Args:
        tensors: Of ``visual``, without that prefix.
        head_width: Channels of an attention head; 80 in ViT-H-14, 64 in ViT-L-14.
        hidden_act: Its non-linearity; ``quick_gelu`` in OpenAI's.
        projects: Whether its last projection is wanted, as a ``CLIPVisionModelWithProjection``.

    Returns:
        The network.

    Raises:
        ValueError: If they are of another one.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModel, CLIPVisionModelWithProjection

    if not set(_NAMES) | ({"proj"} if projects else set()) <= set(tensors):
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
        hidden_act=hidden_act,
        projection_dim=tensors["proj"].shape[1] if projects else 512,
    )
    network: Any = (CLIPVisionModelWithProjection if projects else CLIPVisionModel)(config)
    known = network.state_dict()
    prefix = "vision_model." if any(name.startswith("vision_model.") for name in known) else ""
    named = {prefix + name: each.to(torch.float32) for name, each in state.items()}
    if projects:
        named["visual_projection.weight"] = tensors["proj"].T.to(torch.float32).contiguous()
    try:
        network.load_state_dict(named)
    except RuntimeError as error:
        raise ValueError(f"its CLIP is of another layout ({first_misfit(error)})") from error
    return network.eval()
