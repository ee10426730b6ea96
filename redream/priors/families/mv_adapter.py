"""MV-Adapter: what makes a Stable Diffusion of any user look at six views of an object."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import Self

from redream.errors import first_line
from redream.priors.checkpoints import read_checkpoint
from redream.priors.families.base import Family, dtype_of
from redream.priors.families.stable_diffusion import StableDiffusion
from redream.priors.families.stable_diffusion_xl import StableDiffusionXL
from redream.priors.row_attention import RowAttention

CONDITION_WIDTH = 6
"""Numbers that a picture's pose is told in."""

PIXELS = 8
"""So many pixels of the encoder's picture are one place of latents."""

HUB = "huanngzh/mv-adapter"
_FILES = {
    StableDiffusion: "mvadapter_t2mv_sd21.safetensors",
    StableDiffusionXL: "mvadapter_t2mv_sdxl.safetensors",
}
_OTHER_KINDS = ("i2mv", "tg2mv", "ig2mv")
_XL_FACTOR = 16  # by which an encoder for XL cuts its picture into cells, and 8 for others
_ENCODER = "adapter."  # how the names of the encoder's tensors begin


class MultiViewAdapter(nn.Module):
    """The trained tensors of MV-Adapter, text to multi-view (Huang et al., 2024).

    Args:
        encoder: diffusers' T2I-Adapter, from maps of poses to what is added to the UNet's blocks.
        layers: Attention over rows, by the path of the self attention that each stands beside.
    """

    encoder: Any

    def __init__(self, encoder: nn.Module, layers: Mapping[str, RowAttention]) -> None:
        super().__init__()
        self.encoder = encoder
        self.layers = nn.ModuleDict({_key(path): each for path, each in layers.items()})

    @classmethod
    def empty(cls, unet: Any, num_views: int, is_xl: bool) -> Self:  # noqa: ANN401
        """The network that fits a UNet, its tensors still to come.

        Args:
            unet: diffusers' ``UNet2DConditionModel``.
            num_views: Of a set.
            is_xl: Whether the encoder is of XL's kind, half as fine.
        """
        from diffusers import T2IAdapter

        channels = [*unet.config.block_out_channels]
        encoder = T2IAdapter(
            in_channels=CONDITION_WIDTH,
            channels=[*channels, channels[-1]] if is_xl else channels,
            num_res_blocks=2 if is_xl else unet.config.layers_per_block,
            downscale_factor=_XL_FACTOR if is_xl else PIXELS,
            adapter_type="full_adapter_xl" if is_xl else "full_adapter",
        )
        layers = {
            path: RowAttention(each.to_q.in_features, each.to_q.out_features, num_views)
            for path, each in unet.named_modules()
            if path.endswith(".attn1")
        }
        return cls(encoder, layers)

    @classmethod
    def load(cls, path: Path, family: Family, num_views: int) -> Self:
        """Reads it from the authors' file, for one family's UNet.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is of another kind, for another UNet, or lacks a tensor; one line.
        """
        tensors = read_checkpoint(path)
        is_xl, name = isinstance(family, StableDiffusionXL), path.name
        for kind in _OTHER_KINDS:
            if kind in name or (kind == "i2mv" and any("_ref." in each for each in tensors)):
                raise ValueError(
                    f"{path} is MV-Adapter's {kind}, which is shown pictures or surfaces: give "
                    f"text to multi-view, {_FILES[StableDiffusionXL if is_xl else StableDiffusion]}"
                )
        with torch.device("meta"):
            made = cls.empty(family.denoiser, num_views, is_xl)
        dtype, expected = dtype_of(family.denoiser), made.shapes()
        if missing := sorted(set(expected) - set(tensors)):
            some = missing[0] if len(missing) == 1 else f"{missing[0]} and {len(missing) - 1} more"
            raise ValueError(
                f"{path} lacks {len(missing)} of the {len(expected)} tensors of an MV-Adapter for "
                f"this UNet ({some}): give the file made for such a model"
            )
        for key, shape in expected.items():
            if tensors[key].shape != shape:
                raise ValueError(
                    f"{path} is for a UNet of another layout: its {key} is "
                    f"{tuple(tensors[key].shape)} and this one's {tuple(shape)}; give the adapter "
                    "and the model of one kind, both SDXL or both SD 2.1"
                )
        made.take({key: tensors[key].to(dtype) for key in expected})
        if beyond := sorted(set(tensors) - set(expected)):
            warnings.warn(
                f"{path}: this UNet has no place for {len(beyond)} of its tensors, such as "
                f"{beyond[0]}, left out",
                stacklevel=3,
            )
        return made.requires_grad_(False).eval()

    def shapes(self) -> dict[str, torch.Size]:
        """Of all tensors, by the authors' names."""
        return {name: each.shape for name, each in self.named_tensors().items()}

    def named_tensors(self) -> dict[str, Tensor]:
        """All tensors, by the authors' names."""
        found = dict(self.encoder.state_dict())
        for key, layer in self.layers.items():
            for name, each in layer.state_dict().items():
                found[f"{_path(key)}.processor.{name}"] = each
        return found

    def take(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes tensors by the authors' names, without copying them."""
        own = {name: each for name, each in tensors.items() if name.startswith(_ENCODER)}
        self.encoder.load_state_dict(own, assign=True)
        for key, layer in self.layers.items():
            start = f"{_path(key)}.processor."
            mine = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
            layer.load_state_dict(mine, assign=True)

    def attach(self, unet: Any) -> None:  # noqa: ANN401  (diffusers')
        """Lets every self attention of a UNet hear from the other views, beside what it does."""
        for path, module in list(unet.named_modules()):
            if path.endswith(".attn1"):
                module.set_processor(self.layers[_key(path)])
        self.layers = nn.ModuleDict()  # they are the UNet's from now on

    def encode(
        self, conditions: Float[Tensor, "B 6"], latent_side: int
    ) -> list[Float[Tensor, "B C h w"]]:
        """What is added to the blocks of the UNet's way down.

        Args:
            conditions: Poses, in [0, 1].
            latent_side: Of the latents.
        """
        side = latent_side * PIXELS
        maps = conditions[:, :, None, None].expand(-1, -1, side, side)
        features: list[Tensor] = self.encoder(maps.contiguous())
        return features


def adapter_file(adapter: str, family: Family) -> Path:
    """The file of a folder, of a hub's repository, or the one that was named.

    Raises:
        FileNotFoundError: If a folder has none for such a model.
        ValueError: If the hub does not give it.
    """
    path = Path(adapter).expanduser()
    if path.is_file():
        return path
    name = _FILES[StableDiffusionXL if isinstance(family, StableDiffusionXL) else StableDiffusion]
    if path.is_dir():
        if not (path / name).is_file():
            raise FileNotFoundError(f"{path} has no {name}: give the file itself")
        return path / name
    if path.suffix or adapter.count("/") != 1:
        raise FileNotFoundError(f"no adapter {adapter}: give a .safetensors file, or {HUB}")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(adapter, name))
    except Exception as error:
        raise ValueError(
            f"no file or folder {adapter}, and the hub did not give {name} of it "
            f"({first_line(error).rstrip('.')}): download it first where there is a network, and "
            "set --model.prior.init_args.adapter to the file"
        ) from error


def _key(path: str) -> str:
    return path.replace(".", "/")


def _path(key: str) -> str:
    return key.replace("/", ".")
