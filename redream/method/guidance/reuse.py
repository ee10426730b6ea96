"""Score once, fit many: a score serves several steps, as in MicroDreamer (Chen et al., 2024)."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from redream.adapters import Adapter
from redream.method.guidance.base import Guidance, Scored
from redream.method.prompts import PromptTable
from redream.method.terms import Drawn, Request
from redream.priors import Prior
from redream.training.form import ADVICE, require_form
from redream.training.processes import Processes


class Reuse(Guidance):
    """Any way to distil, whose scores are targets for several steps.

    In the first of every ``num_fits`` steps the prior is asked, and z - gradient is kept as the
    target of each view; in the others the same cameras are rendered again and fitted to it without
    the network. The first step's gradient is the wrapped way's own.

    Args:
        way: The way to distil.
        num_fits: Steps that one score serves; MicroDreamer fits 15 times to one set of targets.
    """

    def __init__(self, way: Guidance, num_fits: int = 4) -> None:
        super().__init__(**way.common)
        if way.other_priors:
            raise ValueError(
                "Reuse keeps the scores of one prior: take SumOfPriors itself, without Reuse"
            )
        if num_fits < 1:
            raise ValueError(f"num_fits is {num_fits}, and must be at least 1")
        self.way, self.num_fits = way, num_fits
        self.adapter, self.own_prior = way.adapter, way.own_prior
        self.learns_first = way.learns_first
        self._targets: dict[int, Float[Tensor, "B C h w"]] = {}
        self._loaded: set[int] = set()
        self._has_scored = False

    def attach(self, prior: Prior) -> None:
        """As the way does."""
        self.way.attach(prior)

    def begin(self, prior: Prior, omega: Adapter | None, prompts: PromptTable) -> None:
        """As the way does."""
        super().begin(prior, omega, prompts)
        self.way.begin(prior, omega, prompts)

    def other_texts(self, prompt: str) -> tuple[str, ...]:
        """As the way does."""
        return self.way.other_texts(prompt)

    def ask(self, drawn: Sequence[Drawn], step: int, processes: Processes) -> Request | None:
        """As the way does, in the steps that score."""
        return self.way.ask(drawn, step, processes) if self._scores(step) else None

    def gradient(self, at: Scored) -> Float[Tensor, "B C h w"]:
        """As the way does."""
        return self.way.gradient(at)

    @torch.no_grad()
    def gradients(
        self,
        drawn: Sequence[Drawn],
        step: int,
        asset_latents: Callable[[Drawn], Float[Tensor, "B C h w"]],
        correction: float = 0.0,
    ) -> list[Float[Tensor, "B C h w"]]:
        """The way's, corrected; or what leads to the targets that it gave."""
        known = all(each.particle in self._targets for each in drawn)
        self._has_scored = self._scores(step) or not known
        if self._has_scored:
            found = self.way.gradients(drawn, step, asset_latents, correction)
            self.heard = self.way.heard
            self.keep(drawn, found)
            return found
        self.heard = None
        for each in drawn:
            if each.particle in self._loaded:
                target = self._targets[each.particle]
                require_form(target, each.latents.detach(), f"guidance.{each.particle}")
                self._loaded.discard(each.particle)
        targets = [self._targets[each.particle].to(each.latents) for each in drawn]
        return [each.latents.detach() - z for each, z in zip(drawn, targets, strict=True)]

    @torch.no_grad()
    def keep(self, drawn: Sequence[Drawn], gradients: Sequence[Float[Tensor, "B C h w"]]) -> None:
        """Keeps the targets that a score's gradients lead to, as they are descended.

        Where a gradient is not finite its step is skipped, and nothing is asked for until the next
        score: the view is its own target.
        """
        if not self._has_scored:
            return
        for each, gradient in zip(drawn, gradients, strict=True):
            latents = each.latents.detach()
            target = latents - gradient
            self._targets[each.particle] = torch.where(target.isfinite(), target, latents)
            self._loaded.discard(each.particle)

    def state(self) -> dict[str, Tensor]:
        """The targets, for a run that goes on between two scores."""
        return {str(particle): target.cpu() for particle, target in self._targets.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Takes up the targets.

        Raises:
            ValueError: If they are none; one line.
        """
        for name, target in state.items():
            is_number = name.isascii() and name.isdecimal()
            if not (is_number and target.ndim == 4 and target.is_floating_point()):
                raise ValueError(
                    f"the checkpoint does not fit: guidance.{name:.80} is no target of a "
                    f"particle's views; {ADVICE}"
                )
        self._targets = {int(particle): target for particle, target in state.items()}
        self._loaded = set(self._targets)

    def _scores(self, step: int) -> bool:
        return step % self.num_fits == 0
