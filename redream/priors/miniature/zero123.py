"""A Zero123 of random weights: a small Stable Diffusion that sees a picture."""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file

from redream.priors.miniature.stable_diffusion import small_vae, stable_diffusion_schedule

_EMBEDDED = 12  # width of CLIP's embedding


def save_miniature_zero123(
    folder: str | Path,
    pose: Literal["distance", "elevation"] = "distance",
    seed: int = 0,
    **unet: Any,  # noqa: ANN401
) -> None:
    """Writes a whole folder as ``redream convert`` does.

    Pictures are 16x16, latents 4x8x8, conditions 16 wide.

    Args:
        folder: Where :class:`redream.priors.Zero123Prior` will find it.
        pose: ``elevation`` for Stable Zero123.
        seed: Seed of the weights.
        **unet: Further options of the ``UNet2DConditionModel``.
    """
    from diffusers import UNet2DConditionModel
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    path = Path(folder)
    options = {
        "sample_size": 8,
        "in_channels": 8,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 16,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
        **unet,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet2DConditionModel(**options)
        vae = small_vae()
        clip = CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=16,
                intermediate_size=32,
                projection_dim=_EMBEDDED,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=14,
                patch_size=7,
            )
        )
        layer = torch.nn.Linear(_EMBEDDED + 4, options["cross_attention_dim"])
    network.save_pretrained(path / "unet")
    vae.save_pretrained(path / "vae")
    clip.save_pretrained(path / "image_encoder")
    stable_diffusion_schedule("epsilon").save_pretrained(path / "scheduler")
    (path / "cc_projection").mkdir()
    save_file(
        {name: each.detach() for name, each in layer.state_dict(prefix="projection.").items()},
        path / "cc_projection" / "diffusion_pytorch_model.safetensors",
    )
    index = {
        "_class_name": "Zero1to3StableDiffusionPipeline",
        "zero123_pose": pose,
        "cc_projection": ["pipeline_zero1to3", "CCProjection"],
        "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
        "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (path / "model_index.json").write_text(json.dumps(index, indent=2), "utf-8")
