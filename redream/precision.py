"""Geometry in full precision: eight bits of bfloat16 are a pixel or two of a picture."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(beside: Tensor) -> AbstractContextManager[object]:
    """Keeps autocast (``--trainer.precision bf16-mixed``) out of products inside.

    Args:
        beside: Something on the device that they are computed on.
    """
    device = beside.device.type
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)
