"""The interface of an adapter, and what it asks of the prior that hosts it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from redream.tensor_files import write_tensors
from redream.types import Cameras

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


@runtime_checkable
class LoraHost(Protocol):
    """What an adapter needs of a prior."""

    @property
    def time_embedding_dim(self) -> int:
        """Width of the time embedding, to which a row's camera embedding is added."""

    @property
    def component(self) -> str:
        """The denoiser's name in diffusers' pipelines and LoRA files."""

    def add_lora(
        self,
        name: str,
        rank: int,
        lora_alpha: float,
        target_modules: Sequence[str],
        lowest_time: float = 0.0,
    ) -> nn.ModuleDict:
        """Adds a named LoRA adapter and returns its trainable layers by their path.

        Rows at diffusion times below a share ``lowest_time`` of them stay the frozen prior's.
        """

    def input_width(self, target_modules: Sequence[str]) -> int:
        """How many numbers the named linear layers read."""

    def embed_words(self, text: str) -> Float[Tensor, "P D"]:
        """The token embeddings of some words."""


def require_host(prior: object) -> LoraHost:
    """Makes sure that a prior can host adapters.

    Raises:
        ValueError: If it cannot, as the closed-form Gaussian prior.
    """
    if not isinstance(prior, LoraHost):
        raise ValueError(
            f"{type(prior).__name__} hosts no adapters: set model.adapter to null and "
            "model.guidance to one without an adapter, such as SDS, or take another prior"
        )
    return prior


class Adapter(nn.Module, ABC):
    """Parameters trained on top of a frozen prior: omega with e_psi, or zeta.

    An adapter is configured by its constructor and gets its parameters in :meth:`attach`; from
    then on its ``state_dict`` holds all that it has learned and nothing of the prior. Three
    members have to be given; the others say what an adapter does besides, and do nothing here.

    Attributes:
        lowest_time: Share of the diffusion times, from the clean end, that Eq. 5 leaves out.
        max_emphasis: Bound of Eq. 5's weight sigma_t^2 / alpha_t^2; 0 weighs all times alike.
        view_contrast: Weight, beside Eq. 5, of telling views apart for the user's prompt.
        anchor: Weight of keeping what two views share where the frozen prior has it.
        stops: Whether :meth:`stopped` is ever true.
        finishes: Whether :meth:`finish` is given, so that it can be trained before the first step.
    """

    lowest_time: float = 0.0
    max_emphasis: float = 0.0
    view_contrast: float = 0.0
    anchor: float = 0.0
    stops: bool = False
    finishes: bool = False

    @property
    @abstractmethod
    def name(self) -> str:
        """How rows of a batch ask for this adapter."""

    @abstractmethod
    def attach(self, prior: LoraHost) -> None:
        """Creates the parameters, once, on a prior; at first they change no prediction.

        Args:
            prior: The prior to adapt.

        Raises:
            ValueError: If the prior cannot be adapted so.
        """

    @abstractmethod
    def parameter_groups(self) -> list[dict[str, object]]:
        """Optimiser groups: ``{"name": str, "params": [...], "lr": float}``, disjoint."""

    def learning_rate_scale(self, step: int) -> float:
        """Factor on its learning rates at a step, counted from 0; 1 unless it has a schedule."""
        return 1.0

    def prefixes(self, view_names: Sequence[str]) -> Float[Tensor, "B P D"] | None:
        """The tokens e_psi put before the prompt in each view, with gradients.

        Args:
            view_names: ``front``, ``side`` or ``back`` for each row.

        Returns:
            Token embeddings; None says the views in words.
        """
        return None

    def embed_cameras(self, cameras: Cameras) -> Float[Tensor, "B E"] | None:
        """What is added to the time embedding of zeta's rows, None without conditioning."""
        return None

    def split(self, num: int) -> tuple[Int[Tensor, " T"], Int[Tensor, " H"]]:
        """Splits ``num`` pictures into those that Eq. 5 trains on and those held out."""
        held_out = torch.arange(num) % 10 == 9
        return torch.nonzero(~held_out)[:, 0], torch.nonzero(held_out)[:, 0]

    def stopped(self, step: int) -> bool:
        """Whether Eq. 5 is over at a step, counted from 0."""
        return False

    def finish(self) -> None:  # noqa: B027  (see ``finishes``)
        """From now on :meth:`stopped` is true at every step, after a checkpoint too."""

    def observe(self, held_out_loss: float) -> None:
        """Takes note of Eq. 5 on the held-out pictures, for stopping early."""

    def settings(self) -> dict[str, object] | None:
        """All by which, beside what it starts from and is shown, is decided what it becomes.

        Returns:
            Plain values by their names; None, where that is not known: then it is never taken for
            one that was made before.
        """
        return None

    def save(self, directory: str | Path) -> None:
        """Saves what was learned, by default its ``state_dict`` in one safetensors file.

        Args:
            directory: Folder to write to; made where it is missing.
        """
        tensors = {name: each for name, each in self.state_dict().items() if torch.is_tensor(each)}
        write_tensors(Path(directory) / "adapter.safetensors", tensors)
