"""What a step draws, and how its terms ask the networks: all rows of a network in one pass."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.priors import Prior, join_rows
from redream.training.processes import Processes
from redream.types import Cameras, NoisyRows, Views


class Drawn(NamedTuple):
    """What one step draws for one particle: views, and the noise that they are scored with.

    Attributes:
        particle: Index of the particle.
        cameras: psi.
        views: g(theta, psi).
        background: The picture behind.
        image: The views over the background.
        latents: The image, encoded.
        timesteps: t.
        noise: eps.
        generator: The rest of the step's random numbers of this particle.
    """

    particle: int
    cameras: Cameras
    views: Views
    background: Float[Tensor, "B 3 #H #W"]
    image: Float[Tensor, "B 3 H W"]
    latents: Float[Tensor, "B C h w"]
    timesteps: Int[Tensor, " B"]
    noise: Float[Tensor, "B C h w"]
    generator: torch.Generator

    @property
    def num_latents(self) -> int:
        """Elements of one view's latents."""
        return self.latents[0].numel()


class Request(NamedTuple):
    """Rows that a term asks a network for, with gradients, and what becomes of the answer.

    Attributes:
        name: The loss's name.
        network: The prior that answers.
        rows: The rows.
        finish: Makes the loss of the noise predicted for the rows.
    """

    name: str
    network: Prior
    rows: NoisyRows
    finish: Callable[[Float[Tensor, "B C h w"]], Float[Tensor, ""]]


class Term(Protocol):
    """A part of the sum that trains on what a network says: Eqs. 4 and 5."""

    def ask(self, drawn: Sequence[Drawn], step: int, processes: Processes) -> Request | None:
        """The rows of a step.

        Args:
            drawn: What this process's active particles drew.
            step: The step.
            processes: Who shares the work.

        Returns:
            The rows, or None where the term has nothing to learn at this step.
        """


def answer(requests: Sequence[Request]) -> dict[str, Tensor]:
    """Finishes all requests with one forward pass of each network.

    Args:
        requests: What the terms ask.

    Returns:
        The losses by their names, in the order of the requests.
    """
    losses: dict[str, Tensor] = {}
    for network in {id(each.network): each.network for each in requests}.values():
        mine = [each for each in requests if each.network is network]
        eps = network.predict_noise(join_rows([each.rows for each in mine]))
        parts = eps.split([len(each.rows.latents) for each in mine])
        losses |= {each.name: each.finish(part) for each, part in zip(mine, parts, strict=True)}
    return {each.name: losses[each.name] for each in requests}
