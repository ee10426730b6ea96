"""A step's measured memory against what ``benchmarks/memory.py`` predicts of it.

    python benchmarks/gpu_memory.py [--device cuda]

On a card: Stable Diffusion 2.1 at its full size on random weights and the NeRF of
configs/paper.yaml in fog, with views of 64 and 512 pixels; what PyTorch allocated at most in three
steps, one of them corrected (App. B), against the record in memory.json. On a CPU, where PyTorch
counts nothing: a miniature's storages, counted while it really runs, against the same miniature
counted under FakeTensorMode. The last line is JSON; ``within_15_percent`` is the verdict.
"""

import argparse
import gc
import json
import time
from functools import partial
from typing import Any

import torch
from memory import RECORD, count_field, paper
from memory_counting import Counter, counted
from memory_models import MODELS
from memory_page import CONTEXT, parts_of_run
from memory_step import measure
from step_models import SIZES, make_family, make_prior
from step_whole import Whole

from redream.representations import NeRF

FULL, MINIATURE = SIZES
NEAR = 0.15


def verdicts(record: dict[str, Any], name: str, measured: dict[int, float]) -> dict[str, Any]:
    """Measured over predicted, by the size of the views.

    Args:
        record: What ``memory.py`` wrote.
        name: The arrangement of networks.
        measured: Bytes that tensors held at most, by the side of the views in pixels.
    """
    parts = parts_of_run(record, name)
    rows: dict[str, Any] = {}
    for size, found in measured.items():
        predicted = parts[f"step, {size} pixels"] - CONTEXT  # which is no tensor's
        rows[f"views of {size} pixels"] = {
            "measured_gb": found / 1e9,
            "predicted_gb": predicted / 1e9,
            "ratio": found / predicted,
            "within_15_percent": abs(found / predicted - 1.0) <= NEAR,
        }
    return rows | {"within_15_percent": all(each["within_15_percent"] for each in rows.values())}


def whole_step(name: str, device: str) -> Whole:
    """A step as configs/paper.yaml has it, zeta on the prior's own network."""
    arguments, ranges = paper()
    prior = make_prior(name, SIZES[name]["image_size"], dtype="bfloat16").to(device)
    particle = partial(NeRF, **arguments)
    return Whole(prior, time.monotonic, lambda step: step(), particle, ranges)


def on_card() -> dict[str, Any]:
    """The most that PyTorch allocated, everything that is resident included."""
    record = json.loads(RECORD.read_text("utf-8"))
    whole = whole_step(FULL, "cuda")
    measured: dict[int, float] = {}
    for size in (64, 512):
        whole.measure(size, False, 1)  # makes gradients, moments and the occupancy grid
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        whole.measure(size, False, 1)
        measured[size] = torch.cuda.max_memory_allocated()
    return {"case": FULL} | verdicts(record, FULL, measured)


def on_cpu() -> dict[str, Any]:
    """A miniature: counted as it runs, and counted under FakeTensorMode."""
    MODELS[MINIATURE] = partial(make_family, MINIATURE)
    record = {"models": {MINIATURE: measure(MINIATURE)}, "field": count_field()}
    with counted(fake=False) as counter:
        whole = whole_step(MINIATURE, "cpu")
        counter.extra(lambda: whole.measure(64, False, 1))
        found = _most(counter, whole)
    return {"case": MINIATURE} | verdicts(record, MINIATURE, {64: found})


def _most(counter: Counter, whole: Whole) -> int:
    gc.collect()
    held = counter.held
    return held + counter.extra(lambda: whole.measure(64, False, 1))


def main() -> None:
    """Measures, and prints the verdict as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    print(json.dumps(on_cpu() if options.device == "cpu" else on_card()))


if __name__ == "__main__":
    main()
