"""One part of a model from its folder: the right weights, all of them, and nothing made up."""

import re
import warnings
from pathlib import Path
from typing import Any

import torch

from redream.priors.families._quiet import quiet_libraries

_WAY_OUT = "download the model again, or give a folder that save_pretrained wrote"


def load_part(
    kind: Any,  # noqa: ANN401  (a class of diffusers or transformers)
    folder: Path,
    part: str,
    dtype: torch.dtype,
    variant: str | None,
) -> Any:  # noqa: ANN401
    """Reads one part of a model with its own library.

    Args:
        kind: The part's class, or what reads it: ``read_part(folder, dtype, variant)``.
        folder: The model's folder.
        part: The part's folder inside it.
        dtype: The weights' dtype.
        variant: Suffix of the weight files; a part that has none of that name has its plain ones
            read, as diffusers' own pipelines do.

    Returns:
        The part; of a network every tensor is the file's.

    Raises:
        FileNotFoundError: If the weights are missing or of another kind.
        ValueError: If the file lacks tensors of the network, which both libraries would replace
            by random ones in silence.

    Warns:
        UserWarning: If the file has tensors that the network has no place for.
    """
    if hasattr(kind, "read_part"):
        return kind.read_part(folder / part, dtype, variant)
    from diffusers import ModelMixin
    from transformers import PreTrainedModel

    if not issubclass(kind, ModelMixin | PreTrainedModel):
        with quiet_libraries():
            return kind.from_pretrained(folder, subfolder=part)
    of_diffusers = issubclass(kind, ModelMixin)
    stem = "diffusion_pytorch_model" if of_diffusers else "model"
    options = {
        "torch_dtype" if of_diffusers else "dtype": dtype,
        "variant": _variant(folder / part, stem, variant),
    }
    with quiet_libraries():
        loaded, told = kind.from_pretrained(
            folder, subfolder=part, use_safetensors=True, output_loading_info=True, **options
        )
    if missing := sorted(told["missing_keys"]):
        raise ValueError(
            f"{part}/ lacks {len(missing)} of its {len(loaded.state_dict())} tensors "
            f"({_some(missing)}): {_WAY_OUT}"
        )
    if of_diffusers and (left_out := sorted(told["unexpected_keys"])):
        warnings.warn(
            f"{folder}/{part}: the network of its config.json has no place for {_some(left_out)}, "
            "left out",
            stacklevel=6,
        )
    return loaded


def weights_file(folder: Path, variant: str | None) -> Path:
    """The one file that has a part's weights, in diffusers' place for them.

    Raises:
        FileNotFoundError: If it is missing or of another kind.
    """
    stem = "diffusion_pytorch_model"
    found = _variant(folder, stem, variant)
    path = folder / f"{stem}{f'.{found}' if found else ''}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{folder.name}/ has its weights in shards: write one file")
    return path


def _variant(folder: Path, stem: str, wanted: str | None) -> str | None:
    """Which weights to read, by their suffix.

    Raises:
        FileNotFoundError: If neither the wanted ones nor the plain ones are there.
    """
    pattern = re.compile(rf"{stem}(?:\.([\w-]+?))?(?:-\d+-of-\d+)?\.safetensors")
    matches = [pattern.fullmatch(path.name) for path in folder.glob(f"{stem}*.safetensors")]
    found = {match[1] for match in matches if match}
    if wanted in found:
        return wanted
    if None in found:
        return None
    if found:
        names = sorted(name for name in found if name is not None)
        raise FileNotFoundError(
            f"{folder.name}/ has only {' and '.join(names)} weights: name them with `variant`, as "
            f"in --model.prior.init_args.variant {names[0]}"
        )
    if [*folder.glob("*.bin"), *folder.glob("*.ckpt"), *folder.glob("*.msgpack")]:
        raise FileNotFoundError(
            f"{folder.name}/ has no safetensors, and files that may run code when they are read "
            "are not: if you trust them, write the folder anew with diffusers' "
            "DiffusionPipeline.from_pretrained(FOLDER, use_safetensors=False).save_pretrained(NEW)"
        )
    raise FileNotFoundError(
        f"{folder.name}/ has no weights: {stem}.safetensors is missing; name another suffix with "
        f"`variant`, or {_WAY_OUT}"
    )


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
