"""ImageDream: an MVDream that also sees a picture of the object."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate
from typing_extensions import Self

from redream.priors.families._parts import weights_file
from redream.priors.families.base import Loader, dtype_of, require_width
from redream.priors.families.ldm import PICTURE, first_misfit, read_config
from redream.priors.families.mvdream import MVDream
from redream.priors.picture_attention import PictureAttention

HEAD_WIDTH = 64  # of the layers between picture and tokens
KEYS, VALUES = ".to_k_ip.weight", ".to_v_ip.weight"


class ImageDream(MVDream):
    """ImageDream (Wang and Shi, 2023), pixel or local, as ``redream convert`` writes it.

    Attributes:
        adapter: What it has besides MVDream.
        image_encoder: CLIP's picture encoder; None once it was freed.
        nothing: What the denoiser is told of no picture: the adapter's answer to zeros.
    """

    adapter: "PictureAdapter"
    image_encoder: Any
    nothing: Float[Tensor, "1 N D"]

    parts: ClassVar[tuple[str, ...]] = (*MVDream.parts, "image_encoder")
    optional_parts: ClassVar[tuple[str, ...]] = ("image_adapter",)
    other_classes: ClassVar[tuple[str, ...]] = (
        *MVDream.other_classes,
        "CLIPVisionModel",
        "PictureAdapter",
    )
    sees_picture = True

    @classmethod
    def load(cls, load: Loader, index: dict[str, Any]) -> Self:
        """Reads the parts; see :meth:`Family.load`."""
        from transformers import CLIPVisionModel

        family = super().load(load, index)
        family.image_encoder = load(CLIPVisionModel, "image_encoder").eval()
        found = getattr(family.denoiser, PICTURE, None)
        family.adapter = load(PictureAdapter, "image_adapter") if not found else None  # type: ignore[assignment]
        if found:  # a UNet in the authors' names has all in one file
            family.adapter = PictureAdapter(found).to(dtype_of(family.denoiser))
            delattr(family.denoiser, PICTURE)
        family.adapter.attach(family.denoiser)
        config = family.image_encoder.config
        num = (config.image_size // config.patch_size) ** 2 + 1
        with torch.no_grad():
            blank = torch.zeros(1, num, family.adapter.read_width, dtype=dtype_of(family.denoiser))
            nothing = family.adapter.resampler(blank)
        family.register_buffer("nothing", nothing, persistent=False)
        return family

    def require_plain(self) -> None:
        """Makes sure that the parts belong together; see :meth:`Family.require_plain`."""
        super().require_plain()
        require_width(self.denoiser.config.cross_attention_dim, self.adapter.width, "pictures")
        seen = int(self.image_encoder.config.hidden_size)
        require_width(self.adapter.read_width, seen, "what CLIP sees")

    def encode_picture(self, picture: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N D"]:
        """What the denoiser is told of a picture, less what it is told of none.

        Args:
            picture: In [0, 1].
        """
        from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

        encoder: Any = self.image_encoder
        if encoder is None:
            raise RuntimeError("the picture encoder was freed: encode pictures before that")
        size = (encoder.config.image_size,) * 2
        small = interpolate(picture, size, mode="bicubic", antialias=True, align_corners=False)
        mean, std = (small.new_tensor(v).view(3, 1, 1) for v in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
        pixels = ((small.clamp(0.0, 1.0) - mean) / std).to(dtype_of(self.denoiser))
        hidden = encoder(pixels, output_hidden_states=True).hidden_states[-2]
        tokens: Tensor = self.adapter.resampler(hidden) - self.nothing
        return tokens


class PictureAdapter(nn.Module):
    """What ImageDream adds to MVDream: layers from a picture to tokens, and their keys and values.

    Args:
        tensors: ``image_embed.*`` in the authors' names, ``*.attn2.to_k_ip.weight`` and
            ``*.attn2.to_v_ip.weight`` in diffusers'.
        is_pixel: Whether the picture is also shown to the attention over views, as a fifth one.

    Attributes:
        width: Width of a token.
        read_width: Width of what CLIP sees.

    Raises:
        ValueError: If they are of another network.
    """

    resampler: Any

    def __init__(self, tensors: Mapping[str, Tensor], is_pixel: bool = True) -> None:
        super().__init__()
        self.is_pixel = is_pixel
        self.resampler = _resampler(tensors)
        self.num_tokens = int(self.resampler.latents.shape[1])
        self.width = int(self.resampler.proj_out.out_features)
        self.read_width = int(self.resampler.proj_in.in_features)
        self._layers = {n: each for n, each in tensors.items() if n.endswith((KEYS, VALUES))}
        if not self._layers:
            raise ValueError("its UNet attends to no picture: give ImageDream's")

    @classmethod
    def read_part(cls, folder: Path, dtype: torch.dtype, variant: str | None) -> "PictureAdapter":
        """Reads it from a folder that ``redream convert`` wrote."""
        tensors = load_file(weights_file(folder, variant))
        mode = read_config(folder).get("mode", "pixel")
        return cls({n: each.to(dtype) for n, each in tensors.items()}, mode == "pixel").to(dtype)

    def attach(self, unet: Any) -> None:  # noqa: ANN401  (diffusers')
        """Lets a UNet's attention to texts attend to pictures as well."""
        dtype = self.resampler.proj_in.weight.dtype
        for path, module in list(unet.named_modules()):
            if not path.endswith(".attn2"):
                continue
            if path + KEYS not in self._layers or path + VALUES not in self._layers:
                raise ValueError(f"{path} has no keys or values of pictures: give ImageDream's own")
            keys, values = (self._layers[path + end].to(dtype) for end in (KEYS, VALUES))
            module.set_processor(PictureAttention(keys, values, self.num_tokens))
        self._layers = {}


def _resampler(tensors: Mapping[str, Tensor]) -> Any:  # noqa: ANN401
    """The layers from what CLIP sees to tokens: diffusers' of IP-Adapter Plus."""
    from diffusers.models.embeddings import IPAdapterPlusImageProjection

    theirs = {n.removeprefix("image_embed."): t for n, t in tensors.items() if "image_embed." in n}
    try:
        _, num, hidden = theirs["latents"].shape
        output, read = theirs["proj_out.weight"].shape[0], theirs["proj_in.weight"].shape[1]
        inner, ratio = theirs["layers.0.0.to_q.weight"].shape[0], theirs["layers.0.1.1.weight"]
    except KeyError as error:
        raise ValueError(
            f"it has no {error} between picture and tokens: give ImageDream's"
        ) from error
    depth = len({name.split(".")[1] for name in theirs if name.startswith("layers.")})
    made = IPAdapterPlusImageProjection(
        embed_dims=read,
        output_dims=output,
        hidden_dims=hidden,
        depth=depth,
        dim_head=HEAD_WIDTH,
        heads=inner // HEAD_WIDTH,
        num_queries=num,
        ffn_ratio=ratio.shape[0] / hidden,
    )
    state: dict[str, Tensor] = {}
    for name, tensor in theirs.items():
        part, _, rest = name.partition(".")
        layer, _, inside = rest.partition(".")
        if part != "layers":
            state[name] = tensor
        elif inside == "0.to_kv.weight":
            for letter, half in zip("kv", tensor.chunk(2), strict=True):
                state[f"layers.{layer}.attn.to_{letter}.weight"] = half
        else:
            old, _, end = inside.rpartition(".")
            state[f"layers.{layer}.{_RESAMPLER.get(old, old)}.{end}"] = tensor
    try:
        made.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"its layers between picture and tokens are others ({first_misfit(error)})"
        ) from error
    return made.eval()


_RESAMPLER = {
    "0.norm1": "ln0",
    "0.norm2": "ln1",
    "0.to_q": "attn.to_q",
    "0.to_out": "attn.to_out.0",
    "1.0": "ff.0",
    "1.1": "ff.1.net.0.proj",
    "1.3": "ff.1.net.2",
}
"""Names of the authors' layers and of diffusers'."""
