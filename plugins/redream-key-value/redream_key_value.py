"""A ReDream adapter that tunes the keys and values of cross-attention in full."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from redream.adapters import LightAdapter, LoraHost

CROSS_ATTENTION = ("attn2.to_k", "attn2.to_v", "attn.add_k_proj", "attn.add_v_proj")
"""What reads the text: in U-Nets, and in the joint attention of Stable Diffusion 3."""


class KeyValueAdapter(LightAdapter):
    """Whole matrices in the place of low-rank ones, where text enters (Kumari et al., 2023).

    Custom Diffusion found that a concept is learned well by the keys and values of cross-attention
    alone. Each gets an update of full rank, written as a LoRA whose first matrix is the identity
    and does not train. So rows are mixed, and files read by diffusers, as with any LoRA.

    Args:
        learning_rate: Of the matrices.
        target_modules: Endings of the names of the adapted linear layers.
        **options: The other arguments of :class:`redream.adapters.LightAdapter`, but rank and
            scale, which follow from the layers.
    """

    def __init__(
        self,
        learning_rate: float = 1e-5,
        target_modules: Sequence[str] = CROSS_ATTENTION,
        **options: Any,  # noqa: ANN401  (typed where they are handed to)
    ) -> None:
        super().__init__(
            rank=1,  # the layers' width, once they are known
            lora_alpha=1.0,
            learning_rate=learning_rate,
            target_modules=target_modules,
            **options,
        )

    def attach(self, prior: LoraHost) -> None:
        """Creates the matrices and the prefixes; see :meth:`redream.adapters.Adapter.attach`."""
        self.rank = prior.input_width(self.target_modules)
        self.lora_alpha = float(self.rank)  # a scale of 1
        super().attach(prior)
        device = next(self.lora.parameters()).device
        identity = torch.eye(self.rank, device=device)
        for pair in self.lora.values():
            first: nn.Linear = pair["lora_A"]  # type: ignore[index]
            del first.weight
            first.register_buffer("weight", identity)  # one for all layers, and never trained
