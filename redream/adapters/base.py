"""The interface of an adapter, and what it asks of the prior that hosts it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol, cast

from jaxtyping import Float
from torch import Tensor, nn

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


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
    if not hasattr(prior, "add_lora"):
        raise ValueError(
            f"{type(prior).__name__} hosts no adapters: set model.adapter and model.variational "
            "to null, or take another prior"
        )
    return cast(LoraHost, prior)


class Adapter(nn.Module, ABC):
    """Parameters trained on top of a frozen prior.

    An adapter is configured by its constructor and gets its parameters in :meth:`attach`; from
    then on its ``state_dict`` holds all that it has learned and nothing of the prior.
    """

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

    def learning_rate_scale(self, step: int) -> float:  # noqa: ARG002  (for those that decay)
        """Factor on its learning rates at a step, counted from 0; 1 unless it has a schedule."""
        return 1.0

    @abstractmethod
    def parameter_groups(self) -> list[dict[str, object]]:
        """Optimiser groups: ``{"name": str, "params": [...], "lr": float}``, disjoint."""
