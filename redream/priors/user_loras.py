"""LoRAs of the user's own, merged into a prior before anything is attached to it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from redream.errors import first_line
from redream.priors.families import Family


def merge_loras(family: Family, loras: Sequence[str], scales: Sequence[float] | None) -> None:
    """Adds LoRAs to the frozen weights, for good.

    They are part of phi from then on: every row wears them, those of omega and zeta included.

    Args:
        family: The model's parts.
        loras: Files or folders in a format that diffusers reads, kohya's included.
        scales: Strength of each; 1 by default.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a LoRA is not for this model, or scales and LoRAs differ in number.
    """
    if scales is not None and len(scales) != len(loras):
        raise ValueError(f"{len(loras)} loras but {len(scales)} lora_scales: give one for each")
    if not loras:
        return
    pipeline = family.pipeline()
    for index, name in enumerate(loras):
        path = _file(name)
        try:
            state = pipeline.lora_state_dict(str(path), use_safetensors=True)
        except Exception as error:
            reason = first_line(error)
            raise ValueError(f"{path} is no LoRA that diffusers reads ({reason})") from error
        state = state[0] if isinstance(state, tuple) else state
        _require_fit(family.denoiser, family.component, state, path)
        pipeline.load_lora_weights(str(path), adapter_name="user", use_safetensors=True)
        pipeline.fuse_lora(lora_scale=1.0 if scales is None else scales[index])
        pipeline.unload_lora_weights()


def _file(name: str) -> Path:
    path = Path(name).expanduser()
    if path.is_file():
        return path
    inside = sorted(path.glob("*.safetensors"))
    named = path / "pytorch_lora_weights.safetensors"
    if named in inside:
        return named
    if len(inside) != 1:
        raise FileNotFoundError(
            f"no LoRA at {name}: give a .safetensors file, or a folder with exactly one"
        )
    return inside[0]


def _require_fit(denoiser: Any, component: str, state: Mapping[str, Tensor], path: Path) -> None:  # noqa: ANN401
    """Compares every pair of matrices with the layer that it is meant for."""
    layers = dict(denoiser.named_modules())
    pairs = 0
    for key, tensor in state.items():
        part, _, rest = key.partition(".")
        if part != component or ".lora" not in rest:
            continue
        layer, _, end = rest.partition(".lora")
        weight = getattr(layers.get(layer), "weight", None)
        axis = 1 if end.startswith(("_A", ".down")) else 0
        if weight is None or weight.shape[axis] != tensor.shape[axis]:
            has = "has no such layer" if weight is None else f"has {weight.shape[axis]} there"
            raise ValueError(
                f"{path} is a LoRA for another architecture: it adapts {layer} of width "
                f"{tensor.shape[axis]}, and {type(denoiser).__name__} {has}; "
                "give one that was trained on this prior's model"
            )
        pairs += 1
    if not pairs:
        raise ValueError(
            f"{path} is a LoRA for another architecture: it adapts no {component}; "
            "give one that was trained on this prior's model"
        )
