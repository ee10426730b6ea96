"""Several priors at once: a sum of scores, each with its own weight, guidance, times and size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from redream.adapters import Adapter
from redream.losses import guidance_loss, sum_of
from redream.method.guidance.base import Guidance, Scored
from redream.method.prompts import PromptTable
from redream.method.terms import Drawn, Request
from redream.priors import Prior
from redream.priors.prompting import Prompting
from redream.training.processes import Processes

Encode = Callable[[Prior, Drawn, Float[Tensor, "B 3 H W"]], Float[Tensor, "B C h w"]]
"""The latents that a prior has of a particle's pictures."""


@dataclass
class AnotherPrior:
    """A prior beside phi, and how it is distilled.

    Attributes:
        prior: The prior, which scores the same views at its own size.
        way: The way to distil it, with its own weight, guidance and times.
        prompting: How the prompt is put for each of its views; None says the view in words.
    """

    prior: Prior
    way: Guidance
    prompting: Prompting | None = None


class SumOfPriors(Guidance):
    """Distils several priors into the same views, as Magic123 does.

    phi is distilled by ``way``, with omega and e_psi, App. B and whatever the way trains; the
    others are as they come. Each encodes the views at its own size and has its own diffusion times
    and noise, so that they need not know the same latents.

    Args:
        way: The way to distil phi.
        others: Further priors, each with its way.

    Raises:
        ValueError: If there is no other prior, or another's way trains an adapter, follows a path
            or keeps its scores.
    """

    def __init__(self, way: Guidance, others: list[AnotherPrior]) -> None:
        super().__init__(**way.common)
        if not others:
            raise ValueError(
                "SumOfPriors has no other prior: list one in others, or take its way alone"
            )
        for index, each in enumerate(others):
            _require_plain(each.way, f"others[{index}].way")
        if way.num_fits != 1 or way.other_priors:
            raise ValueError(
                f"{type(way).__name__} cannot be the way of phi in SumOfPriors: give a way of one "
                "prior that scores every step"
            )
        self.way, self.others = way, others
        self.adapter, self.own_prior = way.adapter, way.own_prior
        self.learns_first = way.learns_first
        self.other_priors = tuple(each.prior for each in others)

    def attach(self, prior: Prior) -> None:
        """As the way does."""
        self.way.attach(prior)

    def begin(self, prior: Prior, omega: Adapter | None, prompts: PromptTable) -> None:
        """Puts the prompt, and what the object looks like, to every prior in its own words."""
        super().begin(prior, omega, prompts)
        self.way.begin(prior, omega, prompts)
        for each in self.others:
            others = each.way.other_texts(prompts.prompt)
            table = prompts.put_to(each.prior, each.prompting, each.way.negative_prompt, others)
            each.way.begin(each.prior, None, table)

    def other_texts(self, prompt: str) -> tuple[str, ...]:
        """As the way does."""
        return self.way.other_texts(prompt)

    def ask(self, drawn: Sequence[Drawn], step: int, processes: Processes) -> Request | None:
        """As the way does."""
        return self.way.ask(drawn, step, processes)

    def gradient(self, at: Scored) -> Float[Tensor, "B C h w"]:
        """As the way does."""
        return self.way.gradient(at)

    def gradients(
        self,
        drawn: Sequence[Drawn],
        step: int,
        asset_latents: Callable[[Drawn], Float[Tensor, "B C h w"]],
        correction: float = 0.0,
    ) -> list[Float[Tensor, "B C h w"]]:
        """The gradient of phi alone, as the way does."""
        found = self.way.gradients(drawn, step, asset_latents, correction)
        self.heard = self.way.heard
        return found

    def other_losses(
        self,
        drawn: Sequence[Drawn],
        step: int,
        encode: Encode,
        asset_image: Callable[[Drawn], Float[Tensor, "B 3 H W"]],
        correction: float,
    ) -> dict[str, Tensor]:
        """What descends the other priors' gradients, by name."""
        losses = {}
        for index, each in enumerate(self.others):
            mine = [_drawn_for(each, one, step, encode) for one in drawn]

            def asset_latents(one: Drawn, prior: Prior = each.prior) -> Tensor:
                return encode(prior, one, asset_image(one))

            gradients = each.way.gradients(mine, step, asset_latents, correction)
            parts = map(guidance_loss, (one.latents for one in mine), gradients)
            losses[f"guidance_{index + 2}"] = sum_of(parts) * each.way.weight.at(step)
        return losses


def _drawn_for(another: AnotherPrior, drawn: Drawn, step: int, encode: Encode) -> Drawn:
    """A particle's views as another prior sees them, with diffusion times and noise of its own."""
    prior, together = another.prior, another.prior.views_per_set
    latents = encode(prior, drawn, drawn.image)
    num_sets, last = len(latents) // together, prior.num_train_timesteps
    times = another.way.timesteps.sample(num_sets, step, last, drawn.generator)
    noise = torch.randn(latents.shape, generator=drawn.generator)
    return drawn._replace(
        latents=latents,
        timesteps=times.repeat_interleave(together).to(latents.device),
        noise=noise.to(latents),
    )


def _require_plain(way: Guidance, option: str) -> None:
    """Refuses ways whose state or rows belong to phi alone."""
    name = type(way).__name__
    if way.adapter is not None:
        raise ValueError(
            f"{option} is {name}, which trains an adapter: that is phi's alone, so take SDS here, "
            "or make its prior model.prior"
        )
    if way.num_fits != 1 or way.path_steps or way.other_priors:
        raise ValueError(
            f"{option} is {name} with num_fits, path_steps or further priors, which are phi's "
            "alone: take a plain way such as SDS"
        )
