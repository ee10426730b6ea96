"""An ImageDream of random weights: a small MVDream that also sees a picture."""

import json
from pathlib import Path
from typing import Any, Literal

import torch

from redream.plain_data import read_json
from redream.priors.miniature.mvdream import save_miniature_mvdream
from redream.tensor_files import write_tensors

_READ, _TOKENS, _HEADS = 32, 4, 1  # what CLIP sees, and what is made of it


def save_miniature_imagedream(
    folder: str | Path,
    mode: Literal["pixel", "local"] = "pixel",
    seed: int = 0,
    **unet: Any,  # noqa: ANN401
) -> None:
    """Writes a whole folder as ``redream convert`` does, in about a second.

    Pictures are 16x16, latents 4x8x8, prompts 16 tokens 16 wide, a picture 4 tokens.

    Args:
        folder: Where :class:`redream.priors.ImageDreamPrior` will find it.
        mode: Whether the picture is also seen as a fifth view.
        seed: Seed of the weights.
        **unet: Further options of the ``UNet2DConditionModel``.
    """
    from diffusers import UNet2DConditionModel

    path = Path(folder)
    save_miniature_mvdream(path, seed, **unet)
    network = UNet2DConditionModel.from_pretrained(path / "unet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        tensors = _resampler(16)
        for name, module in network.named_modules():
            if name.endswith(".attn2"):
                for end, layer in (("to_k_ip", module.to_k), ("to_v_ip", module.to_v)):
                    tensors[f"{name}.{end}.weight"] = torch.randn_like(layer.weight) * 0.3
        clip_vision(_READ).save_pretrained(path / "image_encoder")
    write_tensors(path / "image_adapter" / "diffusion_pytorch_model.safetensors", tensors)
    (path / "image_adapter" / "config.json").write_text(json.dumps({"mode": mode}), "utf-8")
    index = path / "model_index.json"
    stated = read_json(index) | {
        "_class_name": "ImageDreamPipeline",
        "image_encoder": ["transformers", "CLIPVisionModel"],
        "image_adapter": ["redream", "PictureAdapter"],
    }
    index.write_text(json.dumps(stated, indent=2), "utf-8")


def clip_vision(width: int, side: int = 28) -> Any:  # noqa: ANN401
    """A CLIP that sees pictures of so many pixels in patches of 14."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    return CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=side,
            patch_size=14,
            hidden_act="gelu",
        )
    )


def _resampler(width: int) -> dict[str, torch.Tensor]:
    """One layer from what CLIP sees to tokens, in the authors' names."""
    inner = 64 * _HEADS
    shapes: dict[str, tuple[int, ...]] = {"latents": (1, _TOKENS, width)}
    shapes |= {"proj_in.weight": (width, _READ), "proj_in.bias": (width,)}
    shapes |= {"proj_out.weight": (width, width), "proj_out.bias": (width,)}
    shapes |= {
        "layers.0.0.to_q.weight": (inner, width),
        "layers.0.0.to_kv.weight": (2 * inner, width),
        "layers.0.0.to_out.weight": (width, inner),
        "layers.0.1.1.weight": (4 * width, width),
        "layers.0.1.3.weight": (width, 4 * width),
    }
    made = {name: torch.randn(shape) * 0.3 for name, shape in shapes.items()}
    for norm in ("norm_out", "layers.0.0.norm1", "layers.0.0.norm2", "layers.0.1.0"):
        made |= {f"{norm}.weight": torch.ones(width), f"{norm}.bias": torch.zeros(width)}
    return {f"image_embed.{name}": each for name, each in made.items()}
