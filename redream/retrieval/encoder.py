"""CLIP (Radford et al., 2021) through open_clip: texts and pictures to unit vectors."""

import logging
import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from redream.errors import first_line
from redream.plain_data import read_json
from redream.retrieval.encoder_names import (
    CONFIG,
    name_of_file,
    name_of_folder,
    name_of_repository,
)
from redream.startup import uncollected

_LOG = logging.getLogger(__name__)
_LOCAL, _HUB = "local-dir:", "hf-hub:"
_LOADED: WeakValueDictionary[tuple[str | None, ...], Any] = WeakValueDictionary()
"""The models of this process, by their names and weights."""


class Encoder:
    """A CLIP of open_clip that maps texts and pictures into one space of unit vectors.

    The model is loaded when it is first used, once in a process for all encoders of the same
    weights, and is on the encoder's device while it is used; :func:`let_encoders_rest` takes it
    from there. Any class with the same two ``encode`` methods and properties can stand in for it.

    Args:
        model: A model of open_clip such as ``ViT-B-32``, ``hf-hub:<repository>``, or a folder
            (with or without ``local-dir:`` before it) with ``open_clip_config.json``, weights in
            safetensors and, where the config names an ``hf_tokenizer_name``, the tokenizer's files.
        pretrained: Tag or file of the weights; only for a model's bare name.
        device: For example ``cpu`` or ``cuda``; ``auto`` takes the GPU where there is one.
        batch_size: Texts or pictures encoded at once.

    Raises:
        FileNotFoundError: If a local folder or its configuration is missing.
        ValueError: If a bare name comes without weights.
    """

    def __init__(
        self,
        model: str,
        pretrained: str | None = None,
        device: str = "auto",
        batch_size: int = 64,
    ) -> None:
        # open_clip knows no ~, and a relative path would mean another place from another folder.
        folder = Path(model.removeprefix(_LOCAL)).expanduser()
        if model.startswith(_LOCAL) or folder.is_dir():
            model = f"{_LOCAL}{folder.resolve()}"
        if pretrained is not None and Path(pretrained).expanduser().is_file():
            pretrained = str(Path(pretrained).expanduser().resolve())
        self.model, self.pretrained, self.batch_size = model, pretrained, batch_size
        automatic = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(automatic if device == "auto" else device)
        if self.folder is not None:
            if not (self.folder / CONFIG).is_file():
                raise FileNotFoundError(
                    f"{self.folder} has no {CONFIG}: name an open_clip model's folder"
                )
        elif ":" not in model and pretrained is None:
            raise ValueError(
                f"encoder {model} is no folder and needs weights: set `pretrained` to a tag"
            )
        if ":" in self.model and pretrained is not None:
            raise ValueError(f"encoder {model} brings its own weights: leave out `pretrained`")

    def to(self, device: torch.device | str) -> None:
        """Says on which device the model is to be used from now on."""
        self.device = torch.device(device)

    @property
    def folder(self) -> Path | None:
        """The model's local folder, or None where open_clip or the hub supplies it."""
        if not self.model.startswith(_LOCAL):
            return None
        return Path(self.model[len(_LOCAL) :])

    @property
    def init_args(self) -> dict[str, str | None]:
        """Constructor arguments that make an encoder of the same vectors; paths are absolute."""
        return {"model": self.model, "pretrained": self.pretrained}

    @property
    def is_local(self) -> bool:
        """Whether its weights are a folder or a file of the user's own."""
        return self.folder is not None or Path(self.pretrained or "").is_absolute()

    @cached_property
    def name(self) -> str:
        """What tells this encoder's vectors from another's.

        It follows the content of a folder, of a file of weights and of a hub's repository; the
        weights that open_clip itself publishes are known by their tag.
        """
        if self.folder is not None:
            return name_of_folder(self.folder)
        if self.is_local:
            return name_of_file(self.model, Path(str(self.pretrained)))
        if self.model.startswith(_HUB):
            return name_of_repository(self.model, self.model[len(_HUB) :])
        return f"{self.model}/{self.pretrained}"

    @property
    def dimension(self) -> int:
        """Length D of the vectors."""
        return int(self.encode_texts([""]).shape[1])

    @property
    def image_size(self) -> int:
        """Height of the pictures the model sees, in pixels."""
        return self._height_width[0]

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Resizing and normalisation of pictures, as open_clip states it."""
        return dict(self._loaded.visual.preprocess_cfg)

    @torch.no_grad()
    def encode_texts(self, texts: list[str]) -> Float[Tensor, "B D"]:
        """Encodes texts.

        Args:
            texts: The texts; long ones are cut by the tokenizer.

        Returns:
            Unit vectors on the CPU.
        """
        parts = [
            self._clip.encode_text(
                self._tokenizer(texts[start : start + self.batch_size]).to(self.device)
            )
            for start in range(0, len(texts), self.batch_size)
        ]
        return functional.normalize(torch.cat(parts).float(), dim=-1).cpu()

    @torch.no_grad()
    def encode_images(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Encodes pictures.

        Args:
            images: Pictures in [0, 1] of any size.

        Returns:
            Unit vectors on the CPU.
        """
        parts = [
            self._clip.encode_image(self.preprocess(chunk.to(self.device)))
            for chunk in torch.split(images, self.batch_size)
        ]
        return functional.normalize(torch.cat(parts).float(), dim=-1).cpu()

    def preprocess(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 h w"]:
        """Resizes and normalises pictures as open_clip's own transform does."""
        config = self.preprocessing
        target = self._height_width
        size = (images.shape[-2], images.shape[-1])
        ratios = (target[0] / size[0], target[1] / size[1])
        if config["resize_mode"] != "squash":  # keep the aspect; then cut or pad the longer side
            ratio = max(ratios) if config["resize_mode"] == "shortest" else min(ratios)
            ratios = (ratio, ratio)
        resized = (max(1, round(size[0] * ratios[0])), max(1, round(size[1] * ratios[1])))
        if resized != size:
            images = functional.interpolate(
                images, resized, mode=config["interpolation"], antialias=True, align_corners=False
            ).clamp(0.0, 1.0)
        images = _centre(images, target, config["fill_color"] / 255.0)
        mean, std = (images.new_tensor(config[key])[:, None, None] for key in ("mean", "std"))
        return (images - mean) / std

    @property
    def _height_width(self) -> tuple[int, int]:
        size = self.preprocessing["size"]
        return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))

    @property
    def _clip(self) -> Any:  # noqa: ANN401  (open_clip ships no types)
        """The model, on the encoder's device."""
        device = _device_of(self._loaded)
        if device.type != self.device.type or self.device.index not in (None, device.index):
            self._loaded.to(self.device)
        return self._loaded

    @cached_property
    def _loaded(self) -> Any:  # noqa: ANN401
        """The model, shared with all encoders of these weights."""
        key = (self.model, self.pretrained, self.name)
        model = _LOADED.get(key)
        if model is None:
            model = _LOADED[key] = self._load()
        return model

    def _load(self) -> Any:  # noqa: ANN401
        with uncollected():
            import open_clip  # takes seconds, so only when a model is needed

        self._require_own_activation()
        try:
            model = open_clip.create_model(
                self.model, pretrained=self.pretrained, device=self.device, require_pretrained=True
            )
        except Exception as error:  # open_clip, the hub and safetensors raise whatever they like
            raise ValueError(f"cannot load encoder {self.model}: {first_line(error)}") from error
        return model.eval().requires_grad_(False)

    def _require_own_activation(self) -> None:
        """Refuses weights that were trained with another activation than the model has.

        open_clip only warns, and the vectors are wrong: ``ViT-L-14`` with ``openai``, for one.
        """
        import open_clip

        if self.pretrained is None:
            return
        tag = open_clip.get_pretrained_cfg(self.model, self.pretrained)
        model = open_clip.get_model_config(self.model)
        if not tag or model is None:  # a file of weights: nobody can tell
            return
        quick = bool(tag.get("quick_gelu"))
        if quick != bool(model.get("quick_gelu")):
            right = f"{self.model}-quickgelu" if quick else self.model.removesuffix("-quickgelu")
            raise ValueError(
                f"weights {self.pretrained} were trained {'with' if quick else 'without'} "
                f"QuickGELU, which model {self.model} {'lacks' if quick else 'has'}: use {right}"
            )

    @property
    def image_tower(self) -> torch.nn.Module:
        """open_clip's image tower, in evaluation mode."""
        tower: torch.nn.Module = self._clip.visual
        return tower

    @cached_property
    def _tokenizer(self) -> Callable[[list[str]], Tensor]:
        import open_clip

        # A model's config may ask for code of its own to be run; ours overrules it.
        overruled = {"trust_remote_code": False} if self._has_hf_tokenizer else {}
        try:
            tokenizer: Callable[[list[str]], Tensor] = open_clip.get_tokenizer(
                self.model, **overruled
            )
        except Exception as error:
            reason = first_line(error)
            raise ValueError(f"cannot load the tokenizer of {self.model}: {reason}") from error
        return tokenizer

    @property
    def _has_hf_tokenizer(self) -> bool:
        """Whether open_clip takes the tokenizer from transformers; so it does without a config."""
        from open_clip import get_model_config
        from open_clip.pretrained import download_pretrained_from_hf

        config = None
        try:
            if self.folder is not None:
                config = read_json((self.folder / CONFIG).read_text("utf-8"))["model_cfg"]
            elif self.model.startswith(_HUB):
                path = download_pretrained_from_hf(self.model[len(_HUB) :], CONFIG)
                config = read_json(Path(path).read_text("utf-8"))["model_cfg"]
            else:
                config = get_model_config(self.model)
        except Exception as error:  # open_clip says what is wrong, or falls back
            _LOG.info("no config of %s: %s", self.model, error)
        return not config or bool(config.get("text_cfg", {}).get("hf_tokenizer_name"))


def let_encoders_rest() -> None:
    """Moves every loaded model to the CPU, until it is used: a run needs the GPU's memory."""
    moved = [model for model in _LOADED.values() if _device_of(model).type != "cpu"]
    for model in moved:
        model.to("cpu")
    if moved:
        torch.cuda.empty_cache()


def _device_of(model: torch.nn.Module) -> torch.device:
    return next(model.parameters()).device


def _centre(
    images: Float[Tensor, "B 3 H W"], target: tuple[int, int], fill: float
) -> Float[Tensor, "B 3 h w"]:
    """Cuts or pads pictures to a size about their centre."""
    rows, columns = target[0] - images.shape[-2], target[1] - images.shape[-1]
    top, left = math.floor(rows / 2), math.floor(columns / 2)  # negative where it cuts
    return functional.pad(images, (left, columns - left, top, rows - top), value=fill)
