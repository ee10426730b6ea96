"""Rows of several requests in one forward pass."""

from collections.abc import Sequence

import torch
from torch import Tensor

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
