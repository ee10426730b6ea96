"""Perceptual distances between pictures: LPIPS, and the same arithmetic on a CLIP's image tower."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from redream.retrieval.encoder import Encoder

Features = list[Float[Tensor, "B C h w"]]


class PerceptualDistance(ABC):
    """A distance of pictures as a network sees them: 0 for equal ones, larger for others.

    Attributes:
        name: Goes into the names of measures, so that two networks are never confused.
    """

    name: str

    @abstractmethod
    def features(self, pictures: Float[Tensor, "B 3 H W"]) -> Features:
        """What the network sees of pictures in [0, 1], stage by stage."""

    def weights(self) -> Sequence[Float[Tensor, " C"]] | None:
        """The weight of each channel of each stage; None weighs all channels equally."""
        return None

    @torch.no_grad()
    def between(
        self, first: Float[Tensor, "B 3 H W"], second: Float[Tensor, "B 3 H W"]
    ) -> Float[Tensor, " B"]:
        """The distance of each picture of ``first`` to the same one of ``second``."""
        return compare(self.features(first), self.features(second), self.weights())

    @torch.no_grad()
    def around(
        self, pictures: Float[Tensor, "B 3 H W"], batch_size: int = 16
    ) -> Float[Tensor, " B"]:
        """The distance of each picture of a closed orbit to the next, the last one's to the first.

        Every picture goes through the network once.

        Args:
            pictures: Neighbours follow one another.
            batch_size: Pictures at once, which bounds the memory.
        """
        distances: list[Tensor] = []
        first = last = None
        for chunk in pictures.split(batch_size):
            seen = self.features(chunk)
            first = first or [stage[:1] for stage in seen]
            if last is not None:
                seen = [torch.cat(pair) for pair in zip(last, seen, strict=True)]
            distances.append(self._following(seen))
            last = [stage[-1:] for stage in seen]
        assert first is not None and last is not None
        return torch.cat([*distances, compare(last, first, self.weights()).cpu()])

    def _following(self, seen: Features) -> Float[Tensor, " N"]:
        before, after = [stage[:-1] for stage in seen], [stage[1:] for stage in seen]
        return compare(before, after, self.weights()).cpu()


def compare(
    first: Features, second: Features, weights: Sequence[Float[Tensor, " C"]] | None = None
) -> Float[Tensor, " B"]:
    """The arithmetic of LPIPS (Zhang et al., 2018): per stage, then summed.

    Features are scaled to unit length over channels at each place; squared differences are
    weighted, summed over channels and averaged over places.
    """
    total = first[0].new_zeros(len(first[0]))
    for i, (one, other) in enumerate(zip(first, second, strict=True)):
        difference = (_unit(one) - _unit(other)).square()
        if weights is not None:
            difference = difference * weights[i].view(1, -1, 1, 1)
        total = total + difference.sum(dim=1).mean(dim=(1, 2))
    return total


def _unit(stage: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
    return stage / (stage.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()


class LPIPS(PerceptualDistance):
    """LPIPS 0.1 with its published heads, on an ImageNet network.

    The heads are those that torchmetrics ships. The network's weights are torchvision's: they are
    downloaded on first use, or read from ``trunk``.

    Args:
        net: ``vgg`` or ``alex``; the paper reports both.
        trunk: A copy of torchvision's weights (``vgg16-397923af.pth``,
            ``alexnet-owt-7be5be79.pth``, or the same as ``.safetensors``), for machines without a
            network.
        device: ``cpu`` or ``cuda``; ``auto`` takes the GPU where there is one.
    """

    _MODELS = {"vgg": "vgg16", "alex": "alexnet"}
    _STAGES = {"vgg": (4, 9, 16, 23, 30), "alex": (2, 5, 8, 10, 12)}
    _SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)

    def __init__(
        self, net: Literal["vgg", "alex"] = "vgg", trunk: Path | None = None, device: str = "auto"
    ) -> None:
        if trunk is not None and not trunk.is_file():
            raise FileNotFoundError(f"there are no weights of LPIPS's {net} at {trunk}")
        self.net, self.trunk, self.name = net, trunk, net
        automatic = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(automatic if device == "auto" else device)

    def features(self, pictures: Float[Tensor, "B 3 H W"]) -> Features:
        """The activations behind each of the five stages."""
        shift, scale = (
            torch.tensor(each, device=self.device).view(1, 3, 1, 1)
            for each in (self._SHIFT, self._SCALE)
        )
        x = (pictures.to(self.device) * 2.0 - 1.0 - shift) / scale
        seen, start = [], 0
        for end in self._STAGES[self.net]:
            x = self._network[start:end](x)
            seen.append(x)
            start = end
        return seen

    def weights(self) -> Sequence[Float[Tensor, " C"]]:
        """The learned weight of each channel."""
        return self._heads

    @cached_property
    def _heads(self) -> list[Tensor]:
        source = files("torchmetrics.functional.image") / "lpips_models" / f"{self.net}.pth"
        with as_file(source) as path:
            state = torch.load(path, map_location=self.device, weights_only=True)
        return [state[f"lin{i}.model.1.weight"].flatten() for i in range(5)]

    @cached_property
    def _network(self) -> nn.Sequential:
        import torchvision  # takes a second, so only when the network is needed

        name = self._MODELS[self.net]
        if self.trunk is None:
            weights = torchvision.models.get_model_weights(name).IMAGENET1K_V1
            try:
                state = weights.get_state_dict(check_hash=True, weights_only=True, progress=False)
            except (OSError, RuntimeError) as error:
                raise ValueError(
                    f"LPIPS needs torchvision's weights of {name}, which cannot be downloaded "
                    f"({error}): set `trunk` to a copy of {Path(weights.url).name}"
                ) from error
        elif self.trunk.suffix == ".safetensors":
            state = load_file(self.trunk)
        else:
            state = torch.load(self.trunk, map_location="cpu", weights_only=True)
        prefix = "features."
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        with torch.device("meta"):  # without memory for what is loaded next, or thrown away
            network: nn.Sequential = torchvision.models.get_model(name, weights=None).features
        try:
            network.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise ValueError(
                f"{self.trunk} does not hold torchvision's weights of {name}"
            ) from error
        for layer in network:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # stages are compared later
        return network.eval().requires_grad_(False).to(self.device)


class ClipDistance(PerceptualDistance):
    """LPIPS's arithmetic on the image tower of a CLIP that is a ResNet, all channels equal.

    It is not LPIPS, and its numbers compare with its own alone. It needs nothing but the CLIP:
    on the embedded world the evaluation CLIP, which was trained there, takes the place of networks
    trained on photographs.

    Args:
        encoder: The CLIP.
        name: Goes into the names of measures.
    """

    def __init__(self, encoder: Encoder, name: str = "clip") -> None:
        self.encoder, self.name = encoder, name

    def features(self, pictures: Float[Tensor, "B 3 H W"]) -> Features:
        """The activations behind each of the four stages.

        Raises:
            ValueError: If the image tower is no ResNet.
        """
        tower = self.encoder.image_tower
        if not hasattr(tower, "layer4"):
            raise ValueError(
                f"the image tower of {self.encoder.model} is no ResNet: measure with LPIPS, or "
                "name a CLIP such as RN50"
            )
        x = tower.stem(self.encoder.preprocess(pictures.to(self.encoder.device)))  # type: ignore[operator]
        seen = []
        for stage in (tower.layer1, tower.layer2, tower.layer3, tower.layer4):
            x = stage(x)  # type: ignore[operator]
            seen.append(x)
        return seen
