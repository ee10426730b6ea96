"""Random keys: one use at one seed and step never has the numbers of another."""

import itertools
from collections import Counter

import pytest
import torch

from redream.assets.references import ReferenceRenderer
from redream.cameras import sample_cameras
from redream.types import key_generator, particle_seed

USES = ("draw", "plugins", "jitter", "adaptation", "occupancy", "field", "held-out", "references")


def seeds_of(uses, *ranges):
    return [key_generator(use, *keys).initial_seed() for use in uses for keys in
            itertools.product(*map(range, ranges))]  # fmt: skip


def test_no_two_keys_share_a_seed():
    """Over seeds 0..7, steps 0..1999 and two keys more, for each use, and for shorter keys."""
    seeds = seeds_of(("draw", "jitter"), 8, 2000, 2) + seeds_of(USES, 8, 200)
    seeds += seeds_of(USES, 100)
    assert len(set(seeds)) == len(seeds)


def test_the_half_of_a_seed_that_a_cpu_keeps_coincides_by_chance_alone():
    """PyTorch's generator on the CPU keeps 32 bits; n keys then share about n^2 / 2^33 pairs."""
    seeds = seeds_of(("draw", "jitter"), 8, 2000, 2)
    pairs = sum(n * (n - 1) // 2 for n in Counter(seed & 0xFFFFFFFF for seed in seeds).values())
    assert pairs <= 5  # 0.5 are expected; the sum of seed and step would make 400,000


def test_every_bit_of_a_seed_is_set_as_often_as_not():
    seeds = seeds_of(("draw",), 2, 1000)
    ones = torch.tensor([[seed >> bit & 1 for bit in range(63)] for seed in seeds]).double().mean(0)
    assert ((ones - 0.5).abs() < 5 * 0.5 / len(seeds) ** 0.5).all()


@pytest.mark.parametrize("shift", [1, 2, 5])
def test_a_seed_is_not_another_one_some_steps_later(shift):
    """It was: seeds of one experiment were one run, begun a step later."""
    ours = [sample_cameras(1, key_generator("draw", 0, step, 0)).c2w for step in range(60)]
    other = [sample_cameras(1, key_generator("draw", shift, step, 0)).c2w for step in range(60)]
    assert not any(torch.equal(one, two) for one in ours for two in other)


def test_an_asset_has_cameras_of_its_own_in_every_seed():
    cameras = [
        ReferenceRenderer(num_views=2, seed=seed).cameras(asset).c2w
        for seed in range(3) for asset in range(3)
    ]  # fmt: skip
    assert not any(torch.equal(one, two) for one, two in itertools.combinations(cameras, 2))


def test_no_particle_of_a_seed_is_one_of_another_seed():
    seeds = [particle_seed(seed, index) for seed in range(20) for index in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert [particle_seed(0, index) for index in range(3)] == [0, 1, 2]


def test_a_key_is_the_same_in_every_process_and_version():
    """Recorded: a run that is resumed elsewhere goes on with the same numbers."""
    assert key_generator("draw", 0, 100, 1).initial_seed() == 5218739664089094495
    assert key_generator("jitter", 3, 7, 0).initial_seed() == 8975962620925650982
