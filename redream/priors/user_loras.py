"""LoRAs of the user's own, merged into a prior before anything is attached to it."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from redream.errors import first_line
from redream.priors._lora_names import adapted_layers, matrix_of, module_path, other_algorithm
from redream.priors.families import Family, quiet_libraries

_NAME = "user"


def merge_loras(family: Family, loras: Sequence[str], scales: Sequence[float] | None) -> None:
    """Adds LoRAs to the frozen weights, for good.

    They are part of phi from then on: every row wears them, those of omega and zeta included.
    diffusers' own loader reads them; what it applied is counted against what the file holds.

    Args:
        family: The model's parts.
        loras: Files or folders in a format that diffusers reads, kohya's included.
        scales: Strength of each; 1 by default.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a LoRA is not for this model or no plain LoRA, or scales and LoRAs differ
            in number.

    Warns:
        UserWarning: If a LoRA also adapts layers that this model does not have.
    """
    if scales is not None and len(scales) != len(loras):
        raise ValueError(f"{len(loras)} loras but {len(scales)} lora_scales: give one for each")
    if not loras:
        return
    pipeline = family.pipeline()
    for index, name in enumerate(loras):
        path = _file(name)
        layers = _read_layers(path)
        try:
            state, alphas = _converted(path, family, pipeline)
            _load(path, layers, family, pipeline)
        except Exception as error:
            raise _refusal(path, family, pipeline, first_line(error)) from error
        applied = _applied(_parts(family, pipeline))
        if not applied:
            raise _refusal(path, family, pipeline, "it would change nothing")
        if len(applied) < len(layers):
            _tell_left_out(path, len(layers), applied, state)
        _set_scales(applied, alphas)
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


def _read_layers(path: Path) -> list[str]:
    """The layers that a file says it adapts.

    Raises:
        ValueError: If it cannot be read, is of another algorithm, or holds no numbers.
    """
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            endless = [n for n in names if not bool(file.get_tensor(n).isfinite().all())]
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is no safetensors file, or a damaged one ({first_line(error)}): "
            "give the LoRA as .safetensors"
        ) from error
    if algorithm := other_algorithm(names):
        raise ValueError(
            f"{path} is no plain LoRA but {algorithm}: "
            "train a LoRA, or merge it into the model with the tool that made it"
        )
    if endless:
        raise ValueError(f"{path} has a value that is no number in {endless[0]}: train it again")
    try:
        layers = adapted_layers(names)
    except ValueError as error:
        raise ValueError(f"{path} is not whole: {error}; download it again") from error
    if not layers:
        what = f"none of its tensors is one's, such as {names[0]}" if names else "it is empty"
        raise ValueError(f"{path} is no LoRA, {what}: give a file that its trainer saved")
    return layers


def _load(path: Path, layers: Sequence[str], family: Family, pipeline: Any) -> None:  # noqa: ANN401
    """Lets diffusers put a LoRA beside the weights."""
    options = {"adapter_name": _NAME, **_named(path)}
    with quiet_libraries(), warnings.catch_warnings():
        # of kohya's files whose alphas differ; _set_scales sees to them
        warnings.filterwarnings("ignore", "The following alpha_pattern keys did not match")
        if _of_denoiser_alone(layers, family):
            family.denoiser.load_lora_adapter(str(path.parent), prefix=None, **options)
        else:
            pipeline.load_lora_weights(str(path.parent), **options, **family.lora_options)


def _named(path: Path) -> dict[str, Any]:
    """The file of a folder as diffusers wants it named; a path alone it refuses offline."""
    return {"weight_name": path.name, "use_safetensors": True}


def _of_denoiser_alone(layers: Sequence[str], family: Family) -> bool:
    """Whether a file names no part of a pipeline, as ``save_attn_procs`` writes it."""
    blocks = {name for name, _ in family.denoiser.named_children()}
    return all(layer.partition(".")[0] in blocks for layer in layers)


def _parts(family: Family, pipeline: Any) -> dict[str, Any]:  # noqa: ANN401
    """The networks that a LoRA may adapt, by their names in a pipeline."""
    names = [family.component, *(n for n in pipeline.components if n.startswith("text_encoder"))]
    parts = {name: getattr(pipeline, name) for name in names}
    return {name: part for name, part in parts.items() if part is not None}


def _modules(parts: Mapping[str, Any]) -> dict[str, Any]:
    """All layers, as :func:`module_path` names them."""
    return {
        f"{name}.{path}".replace(".text_model.", "."): module
        for name, part in parts.items()
        for path, module in part.named_modules()
    }


def _applied(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The layers that wear the LoRA, by their paths."""
    from peft.tuners.lora import LoraLayer  # takes seconds to import

    return {
        path: module
        for path, module in _modules(parts).items()
        if isinstance(module, LoraLayer) and _NAME in module.r
    }


def _set_scales(applied: Mapping[str, Any], alphas: Mapping[str, float]) -> None:
    """Scales every layer by its own alpha, as kohya means it; a layer without one by 1.

    diffusers matches only some of them to their layers where they differ, and gives the others
    the most frequent one.
    """
    if not alphas:  # then PEFT has them from the file's metadata, or they are the ranks
        return
    stated = {module_path((matrix_of(name) or (name,))[0]): alphas[name] for name in alphas}
    for path, layer in applied.items():
        rank = layer.r[_NAME]
        layer.scaling[_NAME] = stated.get(path, rank) / rank


def _converted(
    path: Path,
    family: Family,
    pipeline: Any,  # noqa: ANN401
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """A file's tensors under diffusers' names, and kohya's alphas, as its loader renames them."""
    options = {"unet_config": family.denoiser.config, **_named(path)}
    with quiet_libraries():
        answer = pipeline.lora_state_dict(str(path.parent), **options)
    state, alphas = answer if isinstance(answer, tuple) else (answer, None)
    if _of_denoiser_alone(adapted_layers(state), family):
        state = {f"{family.component}.{key}": tensor for key, tensor in state.items()}
    named = {name.removesuffix(".alpha"): float(alpha) for name, alpha in (alphas or {}).items()}
    return state, named


def _tell_left_out(
    path: Path, num_layers: int, applied: Collection[str], state: Mapping[str, Tensor]
) -> None:
    left_out = [layer for layer in adapted_layers(state) if module_path(layer) not in applied]
    example = f", {left_out[0]} for one" if left_out else ""
    warnings.warn(
        f"{path}: this model lacks {num_layers - len(applied)} of the {num_layers} layers that it "
        f"adapts, and they are left out{example}",
        stacklevel=4,
    )


def _refusal(path: Path, family: Family, pipeline: Any, reason: str) -> ValueError:  # noqa: ANN401
    """Why a file could not be merged: its names, or what they name."""
    try:
        state, _ = _converted(path, family, pipeline)
        misfit = _misfit(_parts(family, pipeline), state)
    except Exception as error:  # diffusers raises whatever it likes at names that it does not know
        misfit, reason = None, first_line(error)
    if misfit is None:
        return ValueError(
            f"{path} is no LoRA that diffusers reads for this model ({reason}): "
            "give one that its pipeline's load_lora_weights takes"
        )
    return ValueError(
        f"{path} is a LoRA for another architecture: it {misfit}; "
        "give one that was trained on this prior's model"
    )


def _misfit(parts: Mapping[str, Any], state: Mapping[str, Tensor]) -> str | None:
    """What of a LoRA has no place in the model, the first of its matrices that has none."""
    layers = adapted_layers(state)
    if not any(layer.partition(".")[0] in parts for layer in layers):
        return f"adapts no {' and no '.join(parts)}, but {layers[0]}"
    modules = _modules(parts)
    for key, tensor in state.items():
        layer, leads_down = matrix_of(key) or ("", False)
        if not layer:
            continue
        weight = getattr(modules.get(module_path(layer)), "weight", None)
        if weight is None:
            return f"adapts {layer}, which the model does not have"
        axis = 1 if leads_down else 0
        if weight.shape[axis] != tensor.shape[axis]:
            return (
                f"adapts {layer} of width {tensor.shape[axis]}, and the model has "
                f"{weight.shape[axis]} there"
            )
    return None
