"""Variational score distillation (Wang et al., 2023b): zeta, and its Eqs. 2 and 4."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.adapters import Adapter, VariationalAdapter, require_host
from redream.cameras import concatenate
from redream.losses import variational_loss, vsd_gradient
from redream.method.guidance.base import Guidance, Scored
from redream.method.noise import draw_noise
from redream.method.prompts import PromptTable
from redream.method.terms import Drawn, Request
from redream.priors import Prior, with_image
from redream.training.processes import Processes
from redream.types import Cameras, NoisyRows


class VSD(Guidance):
    """dL/dx = w(t) (eps_prior(x_t) - eps_zeta(x_t)), while zeta learns the particles' own score.

    Three rows a view without gradients, and one of zeta with gradients. Where zeta lives on the
    prior's own network all scores are one forward pass; its unconditional half, which would
    cancel, is never computed.

    Args:
        adapter: zeta.
        prior: The network that hosts zeta where it is not phi itself, such as the v-predicting
            Stable Diffusion 2.1 beside 2.1-base in ProlificDreamer.
        share_noise: Whether zeta learns from the very x_t that it has just scored, so that one
            forward pass of it serves Eqs. 2 and 4; otherwise Eq. 4 draws t, over all times, and
            noise of its own.
        **common: As of :class:`Guidance`.
    """

    def __init__(
        self,
        adapter: Adapter | None = None,
        prior: Prior | None = None,
        share_noise: bool = False,
        **common: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(**common)
        self.adapter: Adapter = VariationalAdapter() if adapter is None else adapter
        if share_noise and self.path_steps:
            raise ValueError("zeta cannot share a noise that follows a path: set share_noise false")
        self.own_prior, self.share_noise, self.learns_first = prior, share_noise, share_noise
        self._answered: Float[Tensor, "S C h w"] | None = None

    def attach(self, prior: Prior) -> None:
        """Puts zeta on its network.

        Raises:
            ValueError: If its network sees another x_t than the prior, or hosts no adapters.
        """
        if self.own_prior is not None:
            require_same_diffusion(prior, self.own_prior)
            self.own_prior.free_autoencoder()
        self.adapter.attach(require_host(self.own_prior or prior))

    def begin(self, prior: Prior, omega: Adapter | None, prompts: PromptTable) -> None:
        """Encodes what zeta is told: the prompt without a view."""
        super().begin(prior, omega, prompts)
        self.network, self.text = self.own_prior or prior, prompts.plain
        if self.own_prior is not None:
            with torch.no_grad():
                text = self.own_prior.encode_prompts([prompts.prompt])
            self.text = with_image(text, self.own_prior.image_tokens(prompts.image))
            self.own_prior.free_text_encoders()

    def gradient(self, at: Scored) -> Float[Tensor, "B C h w"]:
        """Eq. 2; see :meth:`Guidance.gradient`.

        Of the rows that zeta has just learned from it has answered already; the others, which
        App. B adds, are asked here.
        """
        answered = at.latents[:0] if self._answered is None else self._answered
        self._answered = None
        guided, rest = self.guided(at), slice(len(answered), None)
        noisy, timesteps = guided.rows.latents, at.timesteps
        if len(answered) == len(noisy):
            (eps_prior,) = self.predict(guided)
            return vsd_gradient(eps_prior, answered, self.w(at))
        rows = self.zeta_rows(noisy[rest], timesteps[rest], at.cameras.select(rest))
        if self.own_prior is None:
            eps_prior, eps_zeta = self.predict(guided, rows)
        else:
            (eps_prior,) = self.predict(guided)
            eps_zeta = self.own_prior.predict_noise(rows)
        return vsd_gradient(eps_prior, torch.cat([answered, eps_zeta]), self.w(at))

    def ask(self, drawn: Sequence[Drawn], step: int, processes: Processes) -> Request:
        """Eq. 4: the particles' views at a fresh x_t, over all times, or at the scored one."""
        latents, last = [d.latents.detach() for d in drawn], self.prior.num_train_timesteps
        pairs = [(d.timesteps, d.noise) for d in drawn]
        if not self.share_noise:
            num = self.views_per_set
            pairs = [
                draw_noise(x, last, d.generator, views_per_set=num)
                for x, d in zip(latents, drawn, strict=True)
            ]
        timesteps = torch.cat([t for t, _ in pairs])
        noise = torch.cat([n for _, n in pairs])
        noisy = self.prior.add_noise(torch.cat(latents), noise, timesteps)
        rows = self.zeta_rows(noisy, timesteps, concatenate([d.cameras for d in drawn]))
        weight = self.network.denoising_weight(timesteps)

        def finish(eps: Float[Tensor, "B C h w"]) -> Float[Tensor, ""]:
            self._answered = eps.detach() if self.share_noise else None
            return variational_loss(eps, noise, weight)

        return Request("variational", self.network, rows, finish)

    def zeta_rows(
        self, noisy: Float[Tensor, "B C h w"], timesteps: Int[Tensor, " B"], cameras: Cameras
    ) -> NoisyRows:
        """Rows of zeta, conditioned on the prompt without a view and on the camera psi."""
        text = self.text.expand(len(noisy), -1, -1)
        names = (self.adapter.name,) * len(noisy)
        embedded = self.adapter.embed_cameras(cameras)
        return NoisyRows(noisy, timesteps, text, names, embedded, cameras.c2w)


def require_same_diffusion(prior: Prior, other: Prior) -> None:
    """Makes sure that two priors see the same x_t, whatever each was trained to predict.

    Raises:
        ValueError: If their latents or their noise schedules differ.
    """
    if prior.latent_shape[0] != other.latent_shape[0]:
        raise ValueError(
            f"the guidance's prior has {other.latent_shape[0]} latent channels and model.prior "
            f"{prior.latent_shape[0]}: take two models with one autoencoder"
        )
    same = prior.alphas.shape == other.alphas.shape and torch.allclose(
        prior.alphas, other.alphas, atol=1e-4
    )
    if not same:
        raise ValueError(
            f"the guidance's prior ({other.predicts}) and model.prior ({prior.predicts}) have "
            "different noise schedules: take two models of one family, or set "
            "model.guidance.init_args.prior to null"
        )
