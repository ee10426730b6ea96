"""A ReDream adapter that tunes the keys and values of cross-attention in full."""

from collections.abc import Sequence

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
        prefix_learning_rate: Of the prefixes e_psi.
        target_modules: Endings of the names of the adapted linear layers.
        learn_prefixes: Whether e_psi is trained; fixed at its words otherwise.
        prefix_words: What a prefix starts from; ``{view}`` stands for front, side or back.
        max_steps: Steps to train at most; None for no budget.
        patience: Held-out losses in a row without improvement after which to stop; None to
            ignore them.
        min_improvement: Relative fall of the held-out loss that counts as improvement.
        held_out_every: Every so many-th picture is held out for early stopping.
    """

    def __init__(
        self,
        learning_rate: float = 1e-5,
        prefix_learning_rate: float = 5e-4,
        target_modules: Sequence[str] = CROSS_ATTENTION,
        learn_prefixes: bool = True,
        prefix_words: str = "{view} view of",
        max_steps: int | None = 400,
        patience: int | None = None,
        min_improvement: float = 0.0,
        held_out_every: int = 10,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            prefix_learning_rate=prefix_learning_rate,
            target_modules=target_modules,
            learn_prefixes=learn_prefixes,
            prefix_words=prefix_words,
            max_steps=max_steps,
            patience=patience,
            min_improvement=min_improvement,
            held_out_every=held_out_every,
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
