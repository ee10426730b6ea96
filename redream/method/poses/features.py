"""What a pose classifier sees of pictures: the features of a frozen encoder, with gradients."""

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor
from torch.nn.functional import interpolate

from redream.errors import first_line
from redream.retrieval import Encoder


class PictureFeatures(ABC):
    """A frozen encoder of pictures, through which gradients flow back to the pictures.

    Attributes:
        name: Said beside what was measured with it.
    """

    name: str

    @abstractmethod
    def of(self, pictures: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Encodes pictures.

        Args:
            pictures: In [0, 1], of any size, on any device.

        Returns:
            A vector a picture, on the pictures' device.
        """


class ClipFeatures(PictureFeatures):
    """The picture vectors of a CLIP of open_clip, such as the one that retrieves.

    Args:
        encoder: The CLIP.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.name = encoder, encoder.model

    def of(self, pictures: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """See :meth:`PictureFeatures.of`."""
        tower = self.encoder.image_tower
        seen: Tensor = tower(self.encoder.preprocess(pictures.to(self.encoder.device).float()))
        return seen.to(pictures)


class TimmFeatures(PictureFeatures):
    """The pooled features of any model of timm, such as a DINOv2.

    Args:
        model: Its name, for example ``vit_small_patch14_dinov2.lvd142m``.
        checkpoint: A copy of its weights in safetensors; downloaded on first use where None.
        image_size: Side in pixels of what it sees; the model's own where None. Only for models
            whose size can be chosen.
        device: ``cpu`` or ``cuda``; ``auto`` takes the GPU where there is one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the weights are not safetensors.
    """

    def __init__(
        self,
        model: str = "vit_small_patch14_dinov2.lvd142m",
        checkpoint: Path | None = None,
        image_size: int | None = None,
        device: str = "auto",
    ) -> None:
        if checkpoint is not None and checkpoint.suffix != ".safetensors":
            raise ValueError(
                f"{checkpoint} is not safetensors: convert it, other files can run code"
            )
        if checkpoint is not None and not checkpoint.is_file():
            raise FileNotFoundError(f"there are no weights of {model} at {checkpoint}")
        self.name, self.checkpoint, self.image_size = model, checkpoint, image_size
        automatic = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(automatic if device == "auto" else device)

    def of(self, pictures: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """See :meth:`PictureFeatures.of`; pictures are resized to the model's size, uncropped."""
        size, mean, std = self._preprocessing
        seen = pictures.to(self.device).float()
        if seen.shape[-2:] != size:
            seen = interpolate(seen, size, mode="bilinear", antialias=True, align_corners=False)
        features: Tensor = self._network((seen - mean) / std)
        return features.to(pictures)

    @cached_property
    def _network(self) -> Any:  # noqa: ANN401  (timm's models are of no common type)
        import timm  # takes seconds, so only when a model is needed

        sized: dict[str, Any] = {} if self.image_size is None else {"img_size": self.image_size}
        # Loaded as timm's own would be: a head is left out, and positions are resampled.
        source = {} if self.checkpoint is None else {"file": str(self.checkpoint)}
        try:
            model = timm.create_model(
                self.name, pretrained=True, num_classes=0, pretrained_cfg_overlay=source, **sized
            )
        except Exception as error:  # timm, the hub and safetensors raise whatever they like
            raise ValueError(f"cannot load {self.name} of timm: {first_line(error)}") from error
        if self.checkpoint is not None:  # timm leaves what it does not find as it was drawn
            with safe_open(self.checkpoint, "pt") as file:
                missing = sorted({name for name, _ in model.named_parameters()} - {*file.keys()})
            if missing:
                raise ValueError(
                    f"cannot load {self.name} of timm: {self.checkpoint} lacks {missing[0]} and "
                    f"{len(missing) - 1} more; take timm's own weights of this model"
                )
        return model.eval().requires_grad_(False).to(self.device)

    @cached_property
    def _preprocessing(self) -> tuple[tuple[int, int], Tensor, Tensor]:
        """Height and width, mean and standard deviation, as timm states them."""
        from timm.data.config import resolve_model_data_config

        config = resolve_model_data_config(self._network)  # type: ignore[no-untyped-call]
        _, height, width = config["input_size"]
        if self.image_size is not None:
            height = width = self.image_size
        mean, std = (
            torch.tensor(config[key], device=self.device).view(1, 3, 1, 1)
            for key in ("mean", "std")
        )
        return (height, width), mean, std
