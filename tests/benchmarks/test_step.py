"""The benchmark of the step still fits the module that it times."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import torch
from flops import counting
from step_whole import PARTS, Whole
from torch.nn.functional import scaled_dot_product_attention


def test_the_whole_step_is_timed_by_part(prior):
    whole = Whole(prior, time.process_time, lambda call: call())
    measured = whole.measure(render_size=16, share_noise=False, rounds=1)
    assert set(measured["parts"]) == {*PARTS.values(), "backward", "optimiser"}
    assert 0.0 < sum(measured["parts"].values()) <= measured["seconds"]


def test_attention_is_counted_on_a_cpu():
    """Two products of (places x width) and (width x places), and twice and a half going back."""
    rows, heads, places, width = 2, 3, 16, 8
    given = [torch.randn(rows, heads, places, width, requires_grad=True) for _ in range(3)]
    forward = rows * heads * 2 * 2 * places**2 * width
    with counting() as counter:
        seen = scaled_dot_product_attention(*given)
    assert counter.get_total_flops() == forward
    with counting() as counter:
        seen.sum().backward()
    assert counter.get_total_flops() == 2.5 * forward
