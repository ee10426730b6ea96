"""Adapters on disk: diffusers' LoRA format and the view prefixes beside it."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from redream.tensor_files import write_tensors

LORA_FILE = "pytorch_lora_weights.safetensors"
PREFIX_FILE = "view_prefixes.safetensors"


def save_lora(
    directory: Path, lora: nn.ModuleDict, component: str, rank: int, lora_alpha: float
) -> None:
    """Writes LoRA layers so that ``load_lora_weights`` of a diffusers pipeline reads them.

    Args:
        directory: An existing folder.
        lora: The layers, keyed by their path in the denoiser with ``/`` for ``.``.
        component: The denoiser's name in diffusers' pipelines.
        rank: Their rank.
        lora_alpha: Their scale times the rank.
    """
    state = lora.state_dict()
    tensors = {f"{component}.{key.replace('/', '.')}": value for key, value in state.items()}
    config = {
        f"{component}.r": rank,
        f"{component}.lora_alpha": lora_alpha,
        f"{component}.target_modules": [path.replace("/", ".") for path in lora],
    }
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(config)}
    write_tensors(directory / LORA_FILE, tensors, metadata)


def load_lora(directory: Path, lora: nn.ModuleDict, component: str) -> None:
    """Reads what :func:`save_lora` wrote into layers of the same shape.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not load or belongs to other layers.
    """
    path = directory / LORA_FILE
    tensors = load_tensors(path)
    state = {f"{component}.{key.replace('/', '.')}": key for key in lora.state_dict()}
    if state.keys() != tensors.keys():
        raise ValueError(f"{path} adapts other layers: use the target_modules it was made with")
    try:
        lora.load_state_dict({state[key]: tensor for key, tensor in tensors.items()})
    except RuntimeError as error:
        raise ValueError(f"{path} has other shapes: use the rank it was made with") from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Reads a safetensors file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is truncated or no safetensors file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no adapter at {path}: give a folder that an adapter was saved to")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}): save the adapter again") from error
