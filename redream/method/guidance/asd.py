"""Asynchronous score distillation (Ma et al., 2024, ScaleDreamer): zeta without training."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.method.guidance.base import Guidance, Scored
from redream.method.terms import Drawn


class ASD(Guidance):
    """dL/dx = w(t) (eps_prior(x_t, t) - eps(x_t', t')): the frozen prior at a later t' is zeta.

    A denoiser errs less at more noise, as zeta errs less than the prior on what it has learned.
    t' = t + u shift (t - t_min), u uniform in [0, 1), at the same noise eps; the second term is
    conditioned on the prompt and not guided. Three rows a view, nothing to train.

    Args:
        shift: Largest share of t - t_min that t' is later.
        **common: As of :class:`Guidance`.
    """

    def __init__(self, shift: float = 0.1, **common: Any) -> None:  # noqa: ANN401
        super().__init__(**common)
        if shift < 0.0:
            raise ValueError(f"shift is {shift}, and must not be negative")
        self.shift = shift

    def draw(self, drawn: Drawn) -> Float[Tensor, " B"]:
        """U of each view."""
        return self.uniform(len(drawn.latents), drawn.generator)

    def gradient(self, at: Scored) -> Float[Tensor, "B C h w"]:
        """See :meth:`Guidance.gradient`; ``get_t_plus`` and ``get_eps`` of the authors' code."""
        eps, later = self.predict(self.guided(at), self.rows(at, timesteps=self.later(at)))
        return self.w(at) * (eps - later)

    def later(self, at: Scored) -> Int[Tensor, " B"]:
        """T' of each row."""
        num = self.prior.num_train_timesteps
        first, _ = self.timesteps.bounds(at.step, num)
        most = (self.shift * (at.timesteps - first)).clamp_min(0.0)
        most = torch.minimum(most, (num - at.timesteps - 1).to(most))
        return (at.timesteps + (most * at.random).long()).clamp(1, num - 1)
