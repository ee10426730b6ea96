"""Prompts to T5's embeddings, with learned tokens before the prompt."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

T5_LENGTH = 256
"""Tokens that T5 reads of a prompt, diffusers' default."""


class T5Text(nn.Module):
    """A frozen T5 encoder that accepts token embeddings before a prompt's tokens.

    Args:
        tokenizer: A ``T5TokenizerFast``.
        text_encoder: A ``T5EncoderModel``.
    """

    def __init__(self, tokenizer: Any, text_encoder: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.tokenizer = tokenizer
        self.text_encoder = text_encoder

    @property
    def width(self) -> int:
        """Width of a token's embedding."""
        return int(self.text_encoder.config.d_model)

    def forward(
        self, prompts: Sequence[str], prefixes: Float[Tensor, "B P D"] | None = None
    ) -> Float[Tensor, "B L D"]:
        """Encodes prompts as ``[prefix, prompt, EOS, padding]``.

        Args:
            prompts: One prompt a row.
            prefixes: Token embeddings put before each prompt.

        Returns:
            The last hidden state.
        """
        num_prefix = 0 if prefixes is None else prefixes.shape[1]
        room = T5_LENGTH - 1 - num_prefix
        eos, padding = self.tokenizer.eos_token_id, self.tokenizer.pad_token_id
        rows = []
        for prompt in prompts:
            words = self.tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids
            if len(words) > room:
                warnings.warn("the prompt is too long for T5 and is cut there", stacklevel=4)
            ids = [*words[:room], eos]
            rows.append(ids + [padding] * (room + 1 - len(ids)))
        table = self.text_encoder.get_input_embeddings()
        embedded = table(torch.tensor(rows, device=table.weight.device))
        if prefixes is not None:
            embedded = torch.cat([prefixes.to(embedded), embedded], dim=1)
        hidden: Tensor = self.text_encoder(inputs_embeds=embedded)[0]
        return hidden

    def embed_words(self, text: str) -> Float[Tensor, "P D"]:
        """The token embeddings of some words."""
        ids = self.tokenizer(text, add_special_tokens=False).input_ids
        embedded: Tensor = self.text_encoder.get_input_embeddings().weight[ids].detach().clone()
        return embedded
