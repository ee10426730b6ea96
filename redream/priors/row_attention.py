"""Attention of a picture's rows over all views of an object, beside attention within a picture."""

import math
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class RowAttention(nn.Module):
    """Adds what each place hears from its own row of pixels in every view of its set.

    Cameras at one elevation that see no perspective show each height of an object in one row of all
    their pictures, so that this is where views must agree (Huang et al., 2024, MV-Adapter). The
    attention beside it stays the base model's, each row of the batch with its own adapter.

    Args:
        width: Numbers of a place.
        inner: Numbers of queries, keys and values.
        num_views: So many neighbouring rows of the batch are one set.
    """

    def __init__(self, width: int, inner: int, num_views: int) -> None:
        super().__init__()
        self.num_views = num_views
        self.to_q_mv = nn.Linear(width, inner, bias=False)
        self.to_k_mv = nn.Linear(width, inner, bias=False)
        self.to_v_mv = nn.Linear(width, inner, bias=False)
        self.to_out_mv = nn.ModuleList([nn.Linear(inner, width)])

    def forward(
        self,
        attn: Any,  # noqa: ANN401  (diffusers' Attention)
        hidden_states: Float[Tensor, "B L C"],
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Float[Tensor, "B L C"]:
        """The attention's output, as diffusers' processors give it."""
        query, key, value = (
            layer(hidden_states).unflatten(2, (attn.heads, -1)).transpose(1, 2)
            for layer in (attn.to_q, attn.to_k, attn.to_v)
        )
        within = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        output: Tensor = attn.to_out[1](attn.to_out[0](within))
        return output + self._across(hidden_states, attn.heads)

    def _across(self, hidden_states: Float[Tensor, "B L C"], heads: int) -> Float[Tensor, "B L C"]:
        side = math.isqrt(hidden_states.shape[1])
        query, key, value = (
            self._rows(layer(hidden_states), side, heads)
            for layer in (self.to_q_mv, self.to_k_mv, self.to_v_mv)
        )
        heard = scaled_dot_product_attention(query, key, value)
        views = heard.unflatten(2, (self.num_views, side)).unflatten(0, (-1, side))
        places = views.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3).flatten(0, 1)
        output: Tensor = self.to_out_mv[0](places)
        return output

    def _rows(
        self, places: Float[Tensor, "B L C"], side: int, heads: int
    ) -> Float[Tensor, "R heads places width"]:
        """Rows of pixels, each over all views of its set."""
        sets = places.unflatten(0, (-1, self.num_views)).unflatten(2, (side, side))
        rows: Tensor = sets.unflatten(4, (heads, -1)).permute(0, 2, 4, 1, 3, 5)
        return rows.flatten(3, 4).flatten(0, 1)
