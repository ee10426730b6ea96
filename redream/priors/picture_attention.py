"""Attention to a picture's tokens beside those of a text (Ye et al., 2023, IP-Adapter)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class PictureAttention(nn.Module):
    """Adds what a picture's tokens answer, by keys and values of their own.

    Args:
        keys: Weight of the layer that makes their keys.
        values: Weight of the layer that makes their values.
        num_tokens: So many tokens at the end of a row's text are a picture's.
    """

    def __init__(
        self, keys: Float[Tensor, "C D"], values: Float[Tensor, "C D"], num_tokens: int
    ) -> None:
        super().__init__()
        self.to_k_ip, self.to_v_ip = _linear(keys), _linear(values)
        self.num_tokens = num_tokens

    def forward(
        self,
        attn: Any,  # noqa: ANN401  (diffusers' Attention)
        hidden_states: Float[Tensor, "B L C"],
        encoder_hidden_states: Float[Tensor, "B T D"],
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Float[Tensor, "B L C"]:
        """The attention's output, as diffusers' processors give it."""
        text = encoder_hidden_states[:, : -self.num_tokens]
        picture = encoder_hidden_states[:, -self.num_tokens :]
        query = _heads(attn.to_q(hidden_states), attn.heads)
        answers = [
            scaled_dot_product_attention(
                query, _heads(keys, attn.heads), _heads(values, attn.heads)
            )
            for keys, values in (
                (attn.to_k(text), attn.to_v(text)),
                (self.to_k_ip(picture), self.to_v_ip(picture)),
            )
        ]
        joined = (answers[0] + answers[1]).transpose(1, 2).flatten(2)
        output: Tensor = attn.to_out[1](attn.to_out[0](joined))
        return output


def _heads(tokens: Float[Tensor, "B L C"], num: int) -> Float[Tensor, "B heads L width"]:
    heads: Tensor = tokens.unflatten(2, (num, -1)).transpose(1, 2)
    return heads


def _linear(weight: Float[Tensor, "C D"]) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer
