"""The real configurations of priors of several views and of pictures, in code.

Values are those of the models' own configuration files; nothing is downloaded. Made under PyTorch's
FakeTensorMode they take no memory.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from memory_models import MODELS
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel, CLIPVisionModelWithProjection

from redream.priors import (
    ImageDreamPrior,
    MVAdapterPrior,
    MVDreamPrior,
    Prior,
    StableDiffusionPrior,
    Zero123Prior,
)
from redream.priors.families.imagedream import ImageDream, PictureAdapter
from redream.priors.families.mv_adapter import MultiViewAdapter
from redream.priors.families.mvdream import MVDream
from redream.priors.families.stable_diffusion_xl import StableDiffusionXL
from redream.priors.families.zero123 import Projection, Zero123

SIDE = 256  # of the pictures that MVDream, ImageDream and Zero123 score

_SEEN, _TOKENS, _DEPTH, _INNER = 1280, 16, 4, 768  # of ImageDream's layers from picture to tokens


def named(dtype: torch.dtype) -> str:
    """As priors name a precision."""
    return str(dtype).removeprefix("torch.")


def loaded(kind: type[Any], family: Any, dtype: torch.dtype, **options: Any) -> Any:  # noqa: ANN401
    """A prior of networks that are there already."""
    with ExitStack() as patches:
        where = "redream.priors.stable_diffusion.load_family"
        patches.enter_context(patch(where, return_value=family))
        where = "redream.priors.mv_adapter.adapter_file"
        patches.enter_context(patch(where, return_value=None))
        patches.enter_context(patch.object(MultiViewAdapter, "load", _empty))
        return kind("counted", dtype=named(dtype), **options)


def _empty(path: None, family: Any, num_views: int) -> MultiViewAdapter:  # noqa: ANN401
    is_xl = isinstance(family, StableDiffusionXL)
    made = MultiViewAdapter.empty(family.denoiser, num_views, is_xl)
    return made.requires_grad_(False).eval()


def mvdream(dtype: torch.dtype, **options: Any) -> MVDreamPrior:  # noqa: ANN401
    """MVDream on Stable Diffusion 2.1."""
    family = _told_cameras(MVDream)
    found: MVDreamPrior = loaded(MVDreamPrior, family, dtype, image_size=SIDE, **options)
    return found


def imagedream(
    dtype: torch.dtype,
    is_pixel: bool = True,
    **options: Any,  # noqa: ANN401
) -> ImageDreamPrior:
    """ImageDream, with CLIP's ViT-H/14."""
    family = _told_cameras(ImageDream)
    family.adapter = PictureAdapter(_picture_tensors(family.denoiser), is_pixel)
    family.adapter.attach(family.denoiser)
    family.image_encoder = CLIPVisionModel(_vision(1280, 32, 16, 5120))
    family.register_buffer("nothing", torch.zeros(1, _TOKENS, 1024), persistent=False)
    found: ImageDreamPrior = loaded(ImageDreamPrior, family, dtype, image_size=SIDE, **options)
    return found


def zero123(dtype: torch.dtype, **options: Any) -> Zero123Prior:  # noqa: ANN401
    """Zero123 and Stable Zero123, with CLIP's ViT-L/14."""
    plain: Any = MODELS["Stable Diffusion 1.5"]()
    unet = plain.denoiser
    width = unet.conv_in.out_channels
    unet.conv_in = nn.Conv2d(8, width, 3, padding=1)
    unet.register_to_config(in_channels=8)
    family = Zero123(plain.vae, unet, plain.diffusion)
    config = _vision(1024, 24, 16, 4096, projection_dim=768)
    family.encoders.append(CLIPVisionModelWithProjection(config))
    family.projection, family.stated = Projection(772, 768), "distance"
    found: Zero123Prior = loaded(Zero123Prior, family, dtype, image_size=SIDE, **options)
    return found


def mv_adapter(
    dtype: torch.dtype,
    base: str = "Stable Diffusion 2.1",
    **options: Any,  # noqa: ANN401
) -> MVAdapterPrior:
    """MV-Adapter on a base model, at the size of its training."""
    found: MVAdapterPrior = loaded(MVAdapterPrior, MODELS[base](), dtype, **options)
    return found


def alone(
    dtype: torch.dtype,
    base: str = "Stable Diffusion 2.1",
    side: int = 512,
    **options: Any,  # noqa: ANN401
) -> StableDiffusionPrior:
    """Stable Diffusion, which looks at each view alone."""
    family, kind = MODELS[base](), StableDiffusionPrior
    found: StableDiffusionPrior = loaded(kind, family, dtype, image_size=side, **options)
    return found


def _told_cameras(kind: type[Any]) -> Any:  # noqa: ANN401
    from diffusers.models.embeddings import TimestepEmbedding

    plain: Any = MODELS["Stable Diffusion 2.1"]()
    unet = plain.denoiser
    unet.class_embedding = TimestepEmbedding(16, unet.time_embedding.linear_2.out_features)
    unet.register_to_config(
        sample_size=SIDE // 8,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=16,
    )
    family = kind(plain.vae, unet, plain.diffusion)
    family.encoders.extend(plain.encoders)
    return family


def _vision(width: int, layers: int, heads: int, inner: int, **options: int) -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        image_size=224,
        patch_size=14,
        **options,
    )


def _picture_tensors(unet: Any) -> dict[str, torch.Tensor]:  # noqa: ANN401
    """What ImageDream adds to a UNet, in its authors' names."""
    width = 1024
    shapes: dict[str, tuple[int, ...]] = {
        "latents": (1, _TOKENS, width),
        "proj_in.weight": (width, _SEEN),
        "proj_in.bias": (width,),
        "proj_out.weight": (width, width),
        "proj_out.bias": (width,),
        "norm_out.weight": (width,),
        "norm_out.bias": (width,),
    }
    for layer in range(_DEPTH):
        inside = f"layers.{layer}"
        shapes |= {
            f"{inside}.0.to_q.weight": (_INNER, width),
            f"{inside}.0.to_kv.weight": (2 * _INNER, width),
            f"{inside}.0.to_out.weight": (width, _INNER),
            f"{inside}.1.1.weight": (4 * width, width),
            f"{inside}.1.3.weight": (width, 4 * width),
        }
        for norm in ("0.norm1", "0.norm2", "1.0"):
            shapes |= {f"{inside}.{norm}.{end}": (width,) for end in ("weight", "bias")}
    made = {f"image_embed.{name}": torch.zeros(shape) for name, shape in shapes.items()}
    for path, module in unet.named_modules():
        if path.endswith(".attn2"):
            for end, layer in (("to_k_ip", module.to_k), ("to_v_ip", module.to_v)):
                made[f"{path}.{end}.weight"] = torch.zeros_like(layer.weight)
    return made


Make = Callable[..., Prior]

ARRANGEMENTS: dict[str, tuple[str, int, tuple[Make, ...]]] = {
    "Stable Diffusion 2.1, each view alone": ("", 4, (partial(alone, side=SIDE),)),
    "MVDream": ("mvdream.yaml", 4, (mvdream,)),
    "ImageDream, pixel": ("imagedream.yaml", 4, (imagedream,)),
    "ImageDream, local": ("", 4, (partial(imagedream, is_pixel=False),)),
    "Zero123, Stable Zero123": ("zero123.yaml, stable_zero123.yaml", 4, (zero123,)),
    "Zero123 and Stable Diffusion 1.5": (
        "magic123.yaml", 1, (zero123, partial(alone, base="Stable Diffusion 1.5")),
    ),
    "MVDream and Stable Diffusion 2.1": ("mvdream_sd.yaml", 4, (mvdream, alone)),
    "Stable Diffusion 2.1, each of six views alone": ("", 6, (alone,)),
    "MV-Adapter, Stable Diffusion 2.1": ("mv_adapter.yaml", 6, (mv_adapter,)),
    "MV-Adapter, Stable Diffusion XL": (
        "", 6, (partial(mv_adapter, base="Stable Diffusion XL"),),
    ),
}  # fmt: skip
"""Overlay, views of a step and priors, by the names of the pages."""
