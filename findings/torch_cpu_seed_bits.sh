#!/usr/bin/env bash
# PyTorch's random generator on the CPU keeps only the lower 32 bits of its seed.
#
# The surprise: torch.Generator().manual_seed takes a 64-bit seed, and initial_seed() gives all 64 bits
# back; yet seeds that differ in the upper half alone give the very same numbers on the CPU (Mersenne
# Twister, seeded with 32 bits). No warning says so.
# The tempting wrong guess: hash (run, step, use) to 64 bits, and no two streams are ever the same.
# There are 4.3e9 streams, so that among 100,000 keys one pair is expected to share its numbers. A key
# whose meaning lies in the upper bits (seed << 32 | step) does not depend on the seed at all.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet 'torch==2.13.0' 'numpy==2.2.6'
venv/bin/python - <<'PYTHON'
import torch

print("torch", torch.__version__)


def numbers(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(4, generator=generator), generator.initial_seed()


for step in (0, 1, 12345):
    (one, first), (two, second) = (numbers(run << 32 | step) for run in (0, 7))
    print(f"seeds {first} and {second}: {one.tolist()} and {two.tolist()}")
    assert first != second, "initial_seed() no longer gives all bits back"
    assert torch.equal(one, two), "the upper 32 bits of a seed count now"
assert not torch.equal(numbers(0)[0], numbers(1)[0])
PYTHON
