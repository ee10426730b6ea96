"""A full-size run fits the cards that it is said to fit, counted without one."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from memory_counting import counted
from memory_page import CONTEXT, as_page, parts_of_run

from redream.priors.families.stable_diffusion import StableDiffusion
from redream.priors.families.stable_diffusion_3 import StableDiffusion3
from redream.priors.families.stable_diffusion_xl import StableDiffusionXL
from redream.representations import tracing

RECORD = json.loads((Path(__file__).parents[2] / "benchmarks" / "memory.json").read_text("utf-8"))
PAPER = "Stable Diffusion 2.1, two networks"


def test_storages_are_counted_while_they_are_held():
    with counted(fake=False) as counter:

        def work():
            one = torch.zeros(1000)
            view = one.view(10, 100)  # the same storage
            two = view + 1.0
            del one, view
            return two * 2.0

        assert counter.extra(work) == 8000
        kept = torch.zeros(500)
        assert counter.held == 2000
        del kept
        assert counter.held == 0
    with counted(fake=True) as counter:
        assert counter.extra(lambda: torch.zeros(1 << 40)) == 4 << 40


def test_the_papers_run_fits_a_card_of_24_gb_with_room():
    for kind in ("fog", "opaque"):
        parts = parts_of_run(RECORD, PAPER, kind)
        assert max(parts.values()) < 8.5e9, parts  # the goal is 12 GB, the bar 24 GB with room


def test_views_of_64_pixels_take_5_gb_with_one_network_and_recomputed_activations():
    for name in ("Stable Diffusion 1.5", "Stable Diffusion 2.1"):
        for kind in ("fog", "opaque"):
            parts = parts_of_run(RECORD, f"{name}, gradient checkpointing", kind)
            del parts["step, 512 pixels"]
            assert max(parts.values()) < 5e9, (name, kind, parts)


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        ("Stable Diffusion 1.5", 6), ("Stable Diffusion 2.1", 6.5), ("Stable Diffusion XL", 24),
        ("Stable Diffusion XL, gradient checkpointing", 13),
        ("Stable Diffusion 3", 32), ("Stable Diffusion 3, gradient checkpointing", 22),
    ],
)  # fmt: skip
def test_the_bars_of_other_models(name, gigabytes):
    assert max(parts_of_run(RECORD, name).values()) < gigabytes * 1e9


def test_the_cards_are_named():
    page = as_page(RECORD)
    row = next(line for line in page.splitlines() if line.startswith(f"| {PAPER} |"))
    assert row.split("|")[-6:-1] == [" 64 pixels ", *[" fits "] * 4]


@pytest.mark.parametrize(
    ("name", "family"),
    [
        (PAPER, StableDiffusion),
        ("Stable Diffusion 1.5", StableDiffusion),
        ("Stable Diffusion 2.1", StableDiffusion),
        ("Stable Diffusion XL", StableDiffusionXL),
        ("Stable Diffusion 3", StableDiffusion3),
    ],
)
def test_a_run_predicts_what_was_counted(name, family):
    """The check before a run has these numbers as constants: never too few, and not many more."""
    model = RECORD["models"][name]
    counted_bytes = model["step"] / model["image_size"] ** 2
    assert counted_bytes <= family.step_bytes[0] <= 1.1 * counted_bytes
    recomputed = RECORD["models"][f"{name}, gradient checkpointing"]
    counted_bytes = recomputed["step"] / recomputed["image_size"] ** 2
    assert counted_bytes <= family.step_bytes[1] <= 1.1 * counted_bytes
    counted_bytes = model["autoencoder"] / model["image_size"] ** 2
    assert counted_bytes <= family.autoencoder_bytes <= 1.1 * counted_bytes
    sample = RECORD["field"]["bytes"]
    assert sample["kept"] <= tracing._KEPT_BYTES <= 1.25 * sample["kept"]
    assert sample["waiting"] <= tracing._WAITING_BYTES <= 1.25 * sample["waiting"]
    assert CONTEXT == pytest.approx(1 << 30, rel=0.01)


@pytest.mark.slow
def test_the_record_is_what_is_counted_now():
    from memory_step import measure

    found = measure("Stable Diffusion 2.1", two=True)
    for part, size in RECORD["models"][PAPER].items():
        if part == "of":  # a digest of the code
            continue
        assert found[part] == pytest.approx(size, rel=0.02), part
