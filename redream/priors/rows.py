"""Rows of several requests in one forward pass."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from redream.types import NoisyRows


def join_rows(parts: Sequence[NoisyRows]) -> NoisyRows:
    """Joins rows for one forward pass; those without a camera or pose get zeros if others have one.

    Args:
        parts: At least one batch of rows.

    Returns:
        All rows, in order.
    """
    if len(parts) == 1:
        return parts[0]
    nums = [len(part.latents) for part in parts]
    return NoisyRows(
        torch.cat([part.latents for part in parts]),
        torch.cat([part.timesteps for part in parts]),
        torch.cat([part.text for part in parts]),
        tuple(name for part in parts for name in part.adapters),
        _joined([part.cameras for part in parts], nums),
        _joined([part.poses for part in parts], nums),
    )


def _joined(parts: Sequence[Tensor | None], nums: Sequence[int]) -> Tensor | None:
    """What some rows have, with zeros for the others; None where no row has it."""
    like = next((part for part in parts if part is not None), None)
    if like is None:
        return None
    return torch.cat(
        [
            like.new_zeros(num, *like.shape[1:]) if part is None else part
            for part, num in zip(parts, nums, strict=True)
        ]
    )


def with_image(
    text: Float[Tensor, "B L D"], image: Float[Tensor, "#B M D"] | None
) -> Float[Tensor, "B N D"]:
    """Puts what is said of a picture behind prompts' embeddings.

    Args:
        text: The embeddings.
        image: Of one picture or one a row, from :meth:`Prior.encode_image_prompts`; None leaves
            the embeddings as they are.
    """
    if image is None:
        return text
    return torch.cat([text, image.expand(len(text), -1, -1)], dim=1)


def without_image(
    text: Float[Tensor, "#B L D"], like: Float[Tensor, "B N D"]
) -> Float[Tensor, "#B N D"]:
    """Says of no picture: zeros where ``like`` has a picture's embedding behind the text's."""
    return pad(text, (0, 0, 0, like.shape[1] - text.shape[1]))
