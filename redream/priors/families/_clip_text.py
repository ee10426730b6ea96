"""Prompts to CLIP's embeddings, with learned tokens before the prompt."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Encoded(NamedTuple):
    """What the families read of CLIP.

    Attributes:
        last: The last hidden state, normalised.
        penultimate: The last hidden state but one.
        pooled: The hidden state at the end of the prompt, projected where CLIP does so.
    """

    last: Float[Tensor, "B L D"]
    penultimate: Float[Tensor, "B L D"]
    pooled: Float[Tensor, "B P"]


class ClipText(nn.Module):
    """A frozen CLIP text encoder that accepts token embeddings before a prompt's tokens.

    Args:
        tokenizer: A ``CLIPTokenizer``.
        text_encoder: A ``CLIPTextModel`` or ``CLIPTextModelWithProjection``.
    """

    def __init__(self, tokenizer: Any, text_encoder: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.tokenizer = tokenizer
        self.text_encoder = text_encoder
        longest = text_encoder.config.max_position_embeddings
        self.max_length = min(int(tokenizer.model_max_length), longest)
        self._prefixes: Float[Tensor, "B P D"] | None = None
        self._embedding = text_encoder.get_input_embeddings()
        self._embedding.register_forward_hook(self._put_prefixes)

    @property
    def width(self) -> int:
        """Width of a token's embedding."""
        return int(self._embedding.weight.shape[1])

    def forward(
        self, prompts: Sequence[str], prefixes: Float[Tensor, "B P D"] | None = None
    ) -> Encoded:
        """Encodes prompts as ``[BOS, prefix, prompt, EOS, padding]``.

        Args:
            prompts: One prompt a row.
            prefixes: Token embeddings put before each prompt.

        Returns:
            The embeddings.

        Raises:
            ValueError: If the prefixes are not one a prompt, or leave no room for it.
        """
        num_prefix = 0
        if prefixes is not None:
            num_prefix = prefixes.shape[1]
            if prefixes.shape[0] != len(prompts):
                raise ValueError(f"{len(prompts)} prompts but {prefixes.shape[0]} prefixes")
            if num_prefix + 2 >= self.max_length:
                raise ValueError(
                    f"a prefix of {num_prefix} tokens leaves no room for a prompt among "
                    f"{self.max_length}: use fewer words"
                )
        ids = torch.tensor([self._token_ids(prompt, num_prefix) for prompt in prompts])
        self._prefixes = prefixes
        try:
            ids = ids.to(self._embedding.weight.device)
            output = self.text_encoder(ids, output_hidden_states=True)
        finally:
            self._prefixes = None
        pooled = output.text_embeds if "text_embeds" in output else output.pooler_output
        return Encoded(output.last_hidden_state, output.hidden_states[-2], pooled)

    def embed_words(self, text: str) -> Float[Tensor, "P D"]:
        """The token embeddings of some words, without those that begin and end a prompt."""
        ids = self.tokenizer(text, add_special_tokens=False).input_ids
        if not ids:
            raise ValueError(f"no token in {text!r}: give at least one word")
        embedded: Tensor = self._embedding.weight[ids].detach().clone()
        return embedded

    def _token_ids(self, prompt: str, num_prefix: int) -> list[int]:
        tokenizer = self.tokenizer
        words = tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids
        room = self.max_length - 2 - num_prefix
        if len(words) > room:
            rest = tokenizer.decode(words[room:])
            warnings.warn(
                f"the prompt is too long for the prior and is cut before {rest!r}", stacklevel=4
            )
        bos, eos, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
        ids = [bos, *[bos] * num_prefix, *words[:room], eos]  # the hook replaces the prefix
        return ids + [pad] * (self.max_length - len(ids))

    def _put_prefixes(
        self, module: nn.Module, args: object, embedded: Float[Tensor, "B L D"]
    ) -> Float[Tensor, "B L D"]:
        if self._prefixes is None:
            return embedded
        prefixes = self._prefixes.to(embedded)
        return torch.cat([embedded[:, :1], prefixes, embedded[:, 1 + prefixes.shape[1] :]], dim=1)
