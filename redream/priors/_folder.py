"""Reading a Stable Diffusion model from a diffusers folder or the hub."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

PARTS = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")


class Components(NamedTuple):
    """The parts of a Stable Diffusion model, as their own libraries load them."""

    vae: Any
    unet: Any
    text_encoder: Any
    tokenizer: Any
    alphas_cumprod: Tensor
    prediction_type: str


def load_components(model: str, dtype: torch.dtype, variant: str | None) -> Components:
    """Loads the parts of a model, safetensors only.

    Args:
        model: A folder that ``StableDiffusionPipeline.save_pretrained`` wrote, or a hub id.
        dtype: The weights' dtype.
        variant: Suffix of the weight files, such as ``fp16``.

    Returns:
        The parts.

    Raises:
        FileNotFoundError: If there is no such folder, or a part of it is missing.
        ValueError: If it does not load or is no model for this prior.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        model = str(folder)
        for part in PARTS:
            if not (folder / part).is_dir():
                raise FileNotFoundError(
                    f"{folder} is not a diffusers folder: it has no {part}/; "
                    "give one that save_pretrained wrote"
                )
    elif not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise FileNotFoundError(f"no folder {model}: give a diffusers folder or a hub id")
    try:
        components = _from_pretrained(model, dtype, variant)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if folder.is_dir():
            raise ValueError(f"could not load the prior in the folder {model}: {reason}") from error
        raise ValueError(
            f"no folder {model}, and the hub did not give it ({reason}): "
            "check the name, or download it first"
        ) from error
    if components.prediction_type not in ("epsilon", "v_prediction"):
        raise ValueError(
            f"{model} predicts {components.prediction_type!r}: "
            "only epsilon and v_prediction are supported"
        )
    if components.unet.config.addition_embed_type is not None:
        raise ValueError(
            f"{model} conditions its UNet on more than one text encoder (as SDXL does), "
            "which is not supported: give a Stable Diffusion 1 or 2 model"
        )
    return components


def _from_pretrained(model: str, dtype: torch.dtype, variant: str | None) -> Components:
    # Imported here: they take seconds, and other priors do not need them.
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would break into ours
    files: dict[str, Any] = {"use_safetensors": True, "variant": variant}
    scheduler = DDPMScheduler.from_pretrained(model, subfolder="scheduler")
    return Components(
        AutoencoderKL.from_pretrained(model, subfolder="vae", torch_dtype=dtype, **files),
        UNet2DConditionModel.from_pretrained(model, subfolder="unet", torch_dtype=dtype, **files),
        CLIPTextModel.from_pretrained(model, subfolder="text_encoder", dtype=dtype, **files),
        CLIPTokenizer.from_pretrained(model, subfolder="tokenizer"),
        scheduler.alphas_cumprod,
        scheduler.config.prediction_type,
    )
