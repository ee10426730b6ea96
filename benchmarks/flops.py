"""Counts the FLOPs of what runs inside, attention on a CPU included."""

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count


def counting() -> FlopCounterMode:
    """A context whose ``get_total_flops`` says how many."""
    return FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION)


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:  # noqa: ANN401
    return sdpa_flop_count(query, key, value)


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:  # noqa: ANN401
    return sdpa_backward_flop_count(grad, query, key, value)


_CPU_ATTENTION: dict[Any, Any] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""What PyTorch's counter does not know."""
