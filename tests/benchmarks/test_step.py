"""The benchmark of the step still fits the module that it times."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from step_whole import PARTS, Whole


def test_the_whole_step_is_timed_by_part(prior):
    whole = Whole(prior, time.process_time, lambda call: call())
    measured = whole.measure(render_size=16, share_noise=False, rounds=1)
    assert set(measured["parts"]) == {*PARTS.values(), "backward", "optimiser"}
    assert 0.0 < sum(measured["parts"].values()) <= measured["seconds"]
