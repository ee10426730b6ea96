"""A Stable Diffusion of random weights with an MV-Adapter of random weights beside it."""

from pathlib import Path
from typing import Any

import torch

from redream.priors.miniature.stable_diffusion import save_miniature
from redream.priors.miniature.stable_diffusion_xl import save_miniature_xl
from redream.tensor_files import write_tensors

_CROSS, _CROSS_UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"


def save_miniature_mv_adapter(
    folder: str | Path,
    is_xl: bool = False,
    seed: int = 0,
    **unet: Any,  # noqa: ANN401
) -> None:
    """Writes a base model and, in the same folder under its authors' name, the adapter.

    Pictures are 16x16, latents 4x8x8, prompts 16 tokens 16 wide, or 40 in XL.

    Args:
        folder: Both ``model`` and ``adapter`` of :class:`redream.priors.MVAdapterPrior`.
        is_xl: Whether the base model is an XL.
        seed: Seed of the weights.
        **unet: Further options of the ``UNet2DConditionModel``.
    """
    from diffusers import UNet2DConditionModel

    from redream.priors.families.mv_adapter import MultiViewAdapter
    from redream.priors.mv_adapter import AZIMUTHS_DEG

    blocks: dict[str, Any]
    if is_xl:  # three levels, as the adapter's encoder has it
        blocks = {
            "block_out_channels": (8, 16, 16),
            "down_block_types": ("DownBlock2D", _CROSS, _CROSS),
            "up_block_types": (_CROSS_UP, _CROSS_UP, "UpBlock2D"),
        }
        save_miniature_xl(folder, seed, **{**blocks, **unet})
    else:
        blocks = {
            "down_block_types": (_CROSS, "DownBlock2D"),
            "up_block_types": ("UpBlock2D", _CROSS_UP),
        }
        save_miniature(folder, seed=seed, **{**blocks, **unet})
    base = UNet2DConditionModel.from_pretrained(Path(folder) / "unet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        adapter = MultiViewAdapter.empty(base, len(AZIMUTHS_DEG), is_xl)
    name = f"mvadapter_t2mv_{'sdxl' if is_xl else 'sd21'}.safetensors"
    write_tensors(Path(folder) / name, adapter.named_tensors())
