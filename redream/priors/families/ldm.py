"""UNets in the names of the authors' code (latent-diffusion) as diffusers' UNets.

diffusers' own converter renames the tensors; what it has to be told of the layout is read from
their shapes, and not from a configuration that a checkpoint does not have.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from redream.errors import first_line
from redream.plain_data import read_json
from redream.priors.families._parts import load_part, weights_file
from redream.priors.families._quiet import quiet_libraries

PREFIX = "model.diffusion_model."
LDM_CLASSES = ("MultiViewUNetModel",)
"""Classes of others' own whose tensors have the authors' names."""

PICTURE = "picture_tensors"
_DOWN, _BLOCK = "op.weight", "in_layers.2.weight"
_CAMERA_LAYERS = {"camera_embed.0": "class_embedding.linear_1"}
_CAMERA_LAYERS |= {"camera_embed.2": "class_embedding.linear_2"}


def unet_of_ldm(tensors: Mapping[str, Tensor], head_width: int = 64, side: int = 32) -> Any:  # noqa: ANN401
    """A UNet whose tensors have the authors' names.

    A camera embedding becomes diffusers' embedding of projected labels, which is the same network.

    Args:
        tensors: The UNet's, without any prefix.
        head_width: Channels of an attention head, where projections are linear as in Stable
            Diffusion 2; the others have 8 heads, as in Stable Diffusion 1.
        side: Side of the latents that it was made for.

    Returns:
        A ``UNet2DConditionModel``, with the file's tensors. What ImageDream has besides is its
        attribute ``picture_tensors``, for which diffusers has no place.

    Raises:
        ValueError: If they are of another network.
    """
    from diffusers import UNet2DConditionModel
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    config = _config(tensors, head_width, side)
    added = ("camera_embed.", "image_embed.")
    plain = {name: each for name, each in tensors.items() if not name.startswith(added)}
    with quiet_libraries():
        state = convert_ldm_unet_checkpoint(
            {PREFIX + name: each for name, each in plain.items()},
            {"layers_per_block": config["layers_per_block"]},
        )
    picture = {name: state.pop(name) for name in list(state) if name.endswith("_ip.weight")}
    picture |= {name: each for name, each in tensors.items() if name.startswith("image_embed.")}
    for theirs, ours in _CAMERA_LAYERS.items():
        for end in ("weight", "bias"):
            if f"{theirs}.{end}" in tensors:
                state[f"{ours}.{end}"] = tensors[f"{theirs}.{end}"]
    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
    try:
        unet.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise ValueError(f"its UNet is of another layout ({first_misfit(error)})") from error
    if picture:
        setattr(unet, PICTURE, picture)
    return unet.eval()


def _config(tensors: Mapping[str, Tensor], head_width: int, side: int) -> dict[str, Any]:
    """What diffusers is told of a UNet, read from the shapes of its tensors."""
    if not {"input_blocks.0.0.weight", "out.2.weight", "middle_block.0.in_layers.2.weight"} <= set(
        tensors
    ):
        raise ValueError("it has no UNet in the names of latent-diffusion")
    levels: list[list[tuple[int, bool]]] = [[]]  # of each residual block: channels, attention
    index = 1
    while any(f"input_blocks.{index}.0.{end}" in tensors for end in (_DOWN, _BLOCK)):
        if f"input_blocks.{index}.0.{_DOWN}" in tensors:
            levels.append([])
        else:
            channels = tensors[f"input_blocks.{index}.0.{_BLOCK}"].shape[0]
            levels[-1].append((channels, f"input_blocks.{index}.1.norm.weight" in tensors))
        index += 1
    widths = [level[0][0] for level in levels if level]
    attends = [level[0][1] for level in levels if level]
    numbers = {len(level) for level in levels}
    mid = "middle_block.1.transformer_blocks.0.attn2.to_k.weight"
    if len(numbers) != 1 or 0 in numbers or mid not in tensors:
        raise ValueError("its UNet is no Stable Diffusion's: levels of different depth")
    linear = tensors["middle_block.1.proj_in.weight"].ndim == 2
    told: dict[str, Any] = {}
    if "camera_embed.0.weight" in tensors:
        width = tensors["camera_embed.0.weight"].shape[1]
        told = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": width}
    return {
        "sample_size": side,
        "in_channels": tensors["input_blocks.0.0.weight"].shape[1],
        "out_channels": tensors["out.2.weight"].shape[0],
        "layers_per_block": numbers.pop(),
        "block_out_channels": tuple(widths),
        "down_block_types": tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        "up_block_types": tuple(
            "CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)
        ),
        "cross_attention_dim": tensors[mid].shape[1],
        "use_linear_projection": linear,
        "attention_head_dim": tuple(w // head_width for w in widths) if linear else 8,
        **told,
    }


def first_misfit(error: RuntimeError) -> str:
    """What PyTorch says first of tensors that do not fit."""
    lines = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
    return lines[0].rstrip(". ")[:160] if lines else first_line(error)


class LdmUNet:
    """A UNet in a diffusers folder, in diffusers' names or, as others saved it, in the authors'."""

    @classmethod
    def read_part(cls, folder: Path, dtype: torch.dtype, variant: str | None) -> Any:  # noqa: ANN401
        """Reads it.

        Args:
            folder: Where it is.
            dtype: The weights' dtype.
            variant: Suffix of the weight file.

        Returns:
            A ``UNet2DConditionModel``.
        """
        from diffusers import UNet2DConditionModel

        config = read_config(folder)
        if config.get("_class_name") not in LDM_CLASSES:
            return load_part(UNet2DConditionModel, folder.parent, folder.name, dtype, variant)
        tensors = load_file(weights_file(folder, variant))
        cast = {name: each.to(dtype) for name, each in tensors.items()}
        return unet_of_ldm(cast, int(config.get("num_head_channels") or 64))


def read_config(folder: Path) -> dict[str, Any]:
    """A part's ``config.json``; nothing where it has none."""
    path = folder / "config.json"
    read = read_json(path) if path.is_file() else {}
    return read if isinstance(read, dict) else {}
