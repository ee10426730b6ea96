"""Attention over all views of an object, in the place of attention within a picture."""

from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


class ViewAttention:
    """Lets places of a picture attend to those of all pictures of its set (Shi et al., 2023).

    Queries, keys and values are those of single rows, so that each row's adapter makes its own;
    rows meet in the attention alone.

    Args:
        num_views: So many neighbouring rows are one set.
    """

    def __init__(self, num_views: int) -> None:
        self.num_views = num_views

    def __call__(
        self,
        attn: Any,  # noqa: ANN401  (diffusers' Attention)
        hidden_states: Float[Tensor, "B L C"],
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Float[Tensor, "B L C"]:
        """The attention's output, as diffusers' processors give it."""
        layers = (attn.to_q, attn.to_k, attn.to_v)
        query, key, value = (self._together(layer(hidden_states), attn.heads) for layer in layers)
        seen = scaled_dot_product_attention(query, key, value)
        rows = seen.transpose(1, 2).flatten(2).unflatten(1, (self.num_views, -1)).flatten(0, 1)
        output: Tensor = attn.to_out[1](attn.to_out[0](rows))
        return output

    def _together(
        self, rows: Float[Tensor, "B L C"], num_heads: int
    ) -> Float[Tensor, "S heads places width"]:
        places = rows.unflatten(0, (-1, self.num_views)).flatten(1, 2)
        heads: Tensor = places.unflatten(2, (num_heads, -1)).transpose(1, 2)
        return heads


def attend_to_views(unet: Any, num_views: int) -> None:  # noqa: ANN401  (diffusers')
    """Makes every self-attention of a UNet one over all views of a set; the others stay."""
    for path, module in unet.named_modules():
        if path.endswith(".attn1"):
            module.set_processor(ViewAttention(num_views))
