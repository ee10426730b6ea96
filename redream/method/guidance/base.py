"""The interface of a way to distil, and what all ways share."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.adapters import Adapter
from redream.cameras import concatenate
from redream.losses import delta_correction
from redream.method.guidance.ddim import downward, follow
from redream.method.prompts import PromptTable
from redream.method.terms import Drawn, Request
from redream.priors import BASE, Guided, Prior, Repelled, views_together, without_image
from redream.priors.prompting import Conditioning
from redream.schedules import Ramp, TimestepRange, Weighting, score_weight, value_at
from redream.training.processes import Processes
from redream.types import Cameras, NoisyRows, key_generator


class Scored(NamedTuple):
    """The rows whose score is asked for: views of all active particles, then of their assets.

    Attributes:
        latents: x_0, without gradients.
        noise: eps.
        timesteps: t.
        cameras: psi.
        text: What the prior's rows are conditioned on.
        others: The same for each of :meth:`Guidance.other_texts`.
        random: What :meth:`Guidance.draw` gave, one a row.
        step: The training step.
    """

    latents: Float[Tensor, "B C h w"]
    noise: Float[Tensor, "B C h w"]
    timesteps: Int[Tensor, " B"]
    cameras: Cameras
    text: Conditioning
    others: tuple[Conditioning, ...]
    random: Float[Tensor, "B ..."]
    step: int

    def select(self, rows: Int[Tensor, " R"]) -> "Scored":
        """Some of the rows."""
        return Scored(
            self.latents[rows],
            self.noise[rows],
            self.timesteps[rows],
            self.cameras.select(rows),
            _select(self.text, rows),
            tuple(_select(each, rows) for each in self.others),
            self.random[rows],
            self.step,
        )


class Heard(NamedTuple):
    """What the prior was asked last, and what it said.

    Attributes:
        noisy: x_t.
        timesteps: t.
        eps: The noise that it predicted.
    """

    noisy: Float[Tensor, "B C h w"]
    timesteps: Int[Tensor, " B"]
    eps: Float[Tensor, "B C h w"]


class Guidance(ABC):
    """A way to distil the 2D prior into the particles: what Eq. 1 or Eq. 2 becomes.

    A subclass gives :meth:`gradient`. Rows are the adapted prior's wherever there is a light
    adapter: with omega and with the text behind e_psi (Eq. 20). Warm-up and correction stay as
    they are whatever the way.

    Args:
        scale: Classifier-free guidance, diffusers' form, or a ramp by step.
        negative_prompt: Prompt of the unconditional rows.
        timesteps: The range of diffusion times.
        weighting: w(t).
        clip: Bound on each element of the gradient, a ramp by step (score debiasing of
            Debiased-SDS); None for no bound.
        weight: Weight of the whole term in the sum, a ramp by step.
        path_steps: Where it is not 0 each particle keeps a noise of its own, and eps is what the
            guided prior predicts at t on the DDIM path that begins there, followed in so many
            steps down to t = 0: particles differ on purpose (Diverse Score Distillation, Xu et
            al., 2024). Two rows a view for each step down to t, and two more.
        rescale: Share of the guided pictures whose contrast is brought back to the conditional
            ones' (Lin et al., 2023), as MVDream does; 0 leaves them.

    Attributes:
        adapter: What the way trains on the prior, such as zeta; None for most.
        own_prior: The network that hosts ``adapter`` where it is not phi itself.
        num_fits: For how many steps a score serves; see :class:`Reuse`.
        other_priors: Priors that are distilled besides phi; see :class:`SumOfPriors`.
        heard: What :meth:`predict` was asked first, and answered, the last time in a step; None
            in steps that ask for nothing.
        learns_first: Whether :meth:`gradient` needs what the rows of :meth:`ask` were answered. If
            not it comes before, and less is remembered at once.
        takes_paths: Whether the noise that ``path_steps`` gives means anything to the way.
    """

    adapter: Adapter | None = None
    own_prior: Prior | None = None
    num_fits: int = 1
    other_priors: tuple[Prior, ...] = ()
    heard: Heard | None = None
    learns_first: bool = False
    takes_paths: ClassVar[bool] = True

    def __init__(
        self,
        scale: float | Ramp = 7.5,
        negative_prompt: str = "",
        timesteps: TimestepRange = TimestepRange(),  # noqa: B008  (frozen)
        weighting: Weighting = "sigma_squared",
        clip: Ramp | None = None,
        weight: Ramp = Ramp(1.0, 1.0),  # noqa: B008  (frozen)
        path_steps: int = 0,
        rescale: float = 0.0,
    ) -> None:
        if path_steps < 0:
            raise ValueError(f"path_steps is {path_steps}, and must not be negative")
        if not 0.0 <= rescale <= 1.0:
            raise ValueError(f"rescale is {rescale}, and must be from 0 to 1")

        self.scale, self.negative_prompt, self.timesteps = scale, negative_prompt, timesteps
        self.weighting, self.clip, self.weight, self.path_steps = (
            weighting,
            clip,
            weight,
            path_steps,
        )
        self.rescale = rescale
        if path_steps and not self.takes_paths:
            raise ValueError(
                f"{type(self).__name__} has noises of its own and follows no paths: set path_steps "
                "to 0"
            )

    @property
    def common(self) -> dict[str, Any]:
        """The settings that every way has, for a way around this one to take over."""
        return {
            "scale": self.scale,
            "negative_prompt": self.negative_prompt,
            "timesteps": self.timesteps,
            "weighting": self.weighting,
            "clip": self.clip,
            "weight": self.weight,
            "path_steps": self.path_steps,
            "rescale": self.rescale,
        }

    @abstractmethod
    def gradient(self, at: Scored) -> Float[Tensor, "B C h w"]:
        """dL/dx_0 of each row, without gradients; :meth:`predict` asks the prior.

        Args:
            at: The rows.

        Returns:
            What a step descends, before ``clip``.
        """

    @property
    def last_scale(self) -> float:
        """The guidance that a run ends with, by which its prior is sampled."""
        return value_at(self.scale, sys.maxsize)

    @property
    def views_per_set(self) -> int:
        """So many views share what is drawn, as the networks ask for it, from ``begin`` on."""
        return views_together(self.prior, self.own_prior)

    def uniform(self, num: int, generator: torch.Generator) -> Float[Tensor, " num"]:
        """A uniform number for each view, the same for all of a set, as its t is."""
        drawn = torch.rand(num // self.views_per_set, generator=generator)
        return drawn.repeat_interleave(self.views_per_set)

    def draw(self, drawn: Drawn) -> Float[Tensor, "B ..."]:
        """Random numbers that the way takes besides t and eps, one row a view.

        Drawn once a step for each particle from ``drawn.generator``: its asset has the same.
        """
        return torch.empty(len(drawn.latents), 0)

    def other_texts(self, prompt: str) -> tuple[str, ...]:
        """Texts that the way needs beside the prompt; ``Scored.others`` has them, in order."""
        return ()

    def keep(self, drawn: Sequence[Drawn], gradients: Sequence[Float[Tensor, "B C h w"]]) -> None:  # noqa: B027
        """Takes note of the step's gradients as they are descended; see :class:`Reuse`."""

    def attach(self, prior: Prior) -> None:  # noqa: B027  (most train nothing)
        """Makes what the way trains on the prior, once."""

    def ask(self, drawn: Sequence[Drawn], step: int, processes: Processes) -> Request | None:
        """What the way learns from the step's views, as VSD's Eq. 4; see :class:`Term`."""
        return None

    def begin(self, prior: Prior, omega: Adapter | None, prompts: PromptTable) -> None:
        """Meets the prior and the prompt, before the first step.

        Args:
            prior: phi, with the adapters attached.
            omega: The light adapter; None scores with phi alone.
            prompts: The texts' embeddings.
        """
        self.prior, self.prompts = prior, prompts
        self.omega = BASE if omega is None else omega.name

    def noise(
        self, drawn_shape: torch.Size, generator: torch.Generator, seed: int, particle: int
    ) -> Float[Tensor, "B C h w"]:
        """A particle's noise: fresh for each view, or the particle's own, the same for all."""
        if self.path_steps == 0:
            return torch.randn(drawn_shape, generator=generator)
        own = torch.randn(drawn_shape[1:], generator=key_generator("own noise", seed, particle))
        return own.expand(drawn_shape)

    @torch.no_grad()
    def gradients(
        self,
        drawn: Sequence[Drawn],
        step: int,
        asset_latents: Callable[[Drawn], Float[Tensor, "B C h w"]],
        correction: float = 0.0,
    ) -> list[Float[Tensor, "B C h w"]]:
        """The gradient for each drawn particle, corrected as in App. B, all in one batch of rows.

        Args:
            drawn: What the active particles drew.
            step: The step.
            asset_latents: The asset of a particle at the particle's cameras, encoded.
            correction: Weight of what the prior asks of the asset itself; 0 never asks.

        Returns:
            dL/dx_0 of each particle's views.
        """
        self.heard = None
        latents = [each.latents.detach() for each in drawn]
        rows = list(drawn)
        if correction != 0.0:
            latents += [asset_latents(each) for each in drawn]
            rows += drawn
        gradient = self.gradient(self.scored(rows, latents, step))
        if self.clip is not None:
            bound = self.clip.at(step)
            gradient = gradient.clamp(-bound, bound)
        parts = gradient.split([len(each.latents) for each in rows])
        if correction == 0.0:
            return list(parts)
        pairs = zip(parts[: len(drawn)], parts[len(drawn) :], strict=True)
        return [delta_correction(mine, asset, correction) for mine, asset in pairs]

    def scored(self, drawn: Sequence[Drawn], latents: Sequence[Tensor], step: int) -> Scored:
        """The rows of a step, with all that belongs to them."""
        cameras = concatenate([each.cameras for each in drawn])
        once = {each.particle: each for each in drawn}.values()
        random = {each.particle: self.draw(each) for each in once}
        text, *others = self.prompts.condition(cameras, step)
        noise = torch.cat([each.noise for each in drawn])
        scored = Scored(
            torch.cat(list(latents)),
            noise,
            torch.cat([each.timesteps for each in drawn]),
            cameras,
            text,
            tuple(others),
            torch.cat([random[each.particle] for each in drawn]).to(noise),
            step,
        )
        if self.path_steps == 0:
            return scored
        num = sum(len(each.latents) for each in once)  # an asset shares its particle's path
        found = self._path_noise(scored.select(torch.arange(num, device=noise.device)))
        return scored._replace(noise=torch.cat([found] * (len(noise) // num)))

    def rows(
        self,
        at: Scored,
        noisy: Float[Tensor, "B C h w"] | None = None,
        timesteps: Int[Tensor, " B"] | None = None,
        text: Float[Tensor, "#B L D"] | None = None,
    ) -> NoisyRows:
        """Rows of the adapted prior.

        Args:
            at: What is scored.
            noisy: x_t; by default that of ``at``.
            timesteps: t; by default that of ``at``.
            text: Text embeddings; by default the prompt's, each row's own view.
        """
        timesteps = at.timesteps if timesteps is None else timesteps
        if noisy is None:
            noisy = self.prior.add_noise(at.latents, at.noise, timesteps)
        if text is None:
            text = at.text.text
        else:
            text = without_image(text, at.text.text).expand(len(noisy), -1, -1)
        names, poses = (self.omega,) * len(noisy), at.cameras.c2w
        return NoisyRows(noisy, timesteps, text, names, poses=poses)

    def guided(
        self, at: Scored, rows: NoisyRows | None = None, scale: float | None = None
    ) -> Guided:
        """Rows under classifier-free guidance, and turned away from what the prompting repels.

        Args:
            at: What is scored.
            rows: The rows; by default those at ``at``'s own x_t.
            scale: s; by default the way's own at this step.
        """
        scale = value_at(self.scale, at.step) if scale is None else scale
        rows = self.rows(at) if rows is None else rows
        return Guided(rows, scale, self.prompts.negative, at.text.repelled, self.rescale)

    def predict(self, *requests: Guided | NoisyRows) -> tuple[Float[Tensor, "B C h w"], ...]:
        """The prior's noise for each request, all in one forward pass."""
        asked = [each if isinstance(each, Guided) else Guided(each) for each in requests]
        answers = self.prior.predict_guided(*asked)
        self.heard = Heard(asked[0].rows.latents, asked[0].rows.timesteps, answers[0].detach())
        return answers

    def w(self, at: Scored) -> Float[Tensor, "B 1 1 1"]:
        """The weight of each row."""
        return score_weight(self.weighting, *self.prior.signal_and_noise(at.timesteps))

    def _path_noise(self, at: Scored) -> Float[Tensor, "B C h w"]:
        """What the guided prior predicts at t, on the path from the particle's own noise."""

        def guided(
            noisy: Float[Tensor, "R C h w"], timesteps: Int[Tensor, " R"], rows: Int[Tensor, " R"]
        ) -> Float[Tensor, "R C h w"]:
            some = at.select(rows)
            return self.predict(self.guided(some, self.rows(some, noisy, timesteps)))[0]

        first = int(self.prior.alphas.nonzero()[-1])  # above it nothing of a picture is left
        times = downward(first, at.timesteps.clamp_max(first), self.path_steps)
        noisy = follow(self.prior, at.noise, times, guided)
        return self.predict(self.guided(at, self.rows(at, noisy)))[0]

    def other_losses(
        self,
        drawn: Sequence[Drawn],
        step: int,
        encode: Callable[[Prior, Drawn, Float[Tensor, "B 3 H W"]], Float[Tensor, "B C h w"]],
        asset_image: Callable[[Drawn], Float[Tensor, "B 3 H W"]],
        correction: float,
    ) -> dict[str, Tensor]:
        """What descends the gradients of :attr:`other_priors`, by name.

        Args:
            drawn: What the active particles drew.
            step: The step.
            encode: The latents that a prior has of a particle's pictures.
            asset_image: The asset of a particle at the particle's cameras.
            correction: Weight of App. B.
        """
        return {}

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint has to keep of the way, beside ``adapter``."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:  # noqa: B027  (most keep nothing)
        """Takes up what :meth:`state` gave."""


def _select(text: Conditioning, rows: Int[Tensor, " R"]) -> Conditioning:
    repelled = tuple(Repelled(each.text[rows], each.weight[rows]) for each in text.repelled)
    return Conditioning(text.text[rows], repelled)
