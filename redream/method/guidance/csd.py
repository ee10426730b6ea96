"""Classifier score distillation (Yu et al., 2023): the guidance, without the prior's score."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from redream.adapters import Adapter
from redream.method.guidance.base import Guidance, Scored
from redream.method.prompts import PromptTable
from redream.priors import Prior
from redream.schedules import Ramp, value_at


class CSD(Guidance):
    """dL/dx = w(t) s (eps_c - r eps_n - (1 - r) eps_0): what an implicit classifier asks.

    eps_c is conditioned on the prompt, eps_n on the negative prompt, eps_0 on the empty one. Two
    rows a view, three while 0 < r < 1 and there is a negative prompt.

    Args:
        negative_share: r, a ramp by step.
        **common: As of :class:`Guidance`; ``scale`` is s.
    """

    def __init__(
        self,
        negative_share: float | Ramp = 1.0,
        **common: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(**common)
        self.negative_share = negative_share

    def begin(self, prior: Prior, omega: Adapter | None, prompts: PromptTable) -> None:
        """Encodes the empty prompt, too; see :meth:`Guidance.begin`."""
        super().begin(prior, omega, prompts)
        self.empty = prompts.negative
        if self.negative_prompt:
            with torch.no_grad():
                self.empty = prior.encode_prompts([""])

    def gradient(self, at: Scored) -> Float[Tensor, "B C h w"]:
        """See :meth:`Guidance.gradient`; ``triple-guidance`` of the authors' code."""
        share = value_at(self.negative_share, at.step) if self.negative_prompt else 0.0
        shares = [(share, self.prompts.negative), (1.0 - share, self.empty)]
        shares = [(part, text) for part, text in shares if part != 0.0]
        texts = [self.rows(at, text=text) for _, text in shares]
        wanted, *others = self.predict(self.guided(at, scale=1.0), *texts)
        for (part, _), eps in zip(shares, others, strict=True):
            wanted = wanted - part * eps
        return self.w(at) * value_at(self.scale, at.step) * wanted
