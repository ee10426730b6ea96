#!/usr/bin/env bash
# PyTorch's FLOP counter counts no attention on a CPU.
#
# The surprise: torch.utils.flop_counter.FlopCounterMode has formulas for every fused attention of a
# GPU, and none for the one that scaled_dot_product_attention takes on a CPU
# (_scaled_dot_product_flash_attention_for_cpu): it adds 0, without a warning, while matrix products
# beside it are counted. So it is under FakeTensorMode, whose tensors are on the CPU unless told
# otherwise, which is how a network is counted at full size without a card.
# The tempting wrong guess: the total is the network's. A Stable Diffusion at 512 pixels comes out a
# sixth too small, and attention over four views (MVDream) seems to cost what four views alone do.
# A custom_mapping of that operation to sdpa_flop_count, which the module has, mends it.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet 'torch==2.13.0' 'numpy==2.2.6'
venv/bin/python - <<'PYTHON'
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

print("torch", torch.__version__)
shape = (1, 8, 1024, 64)
expected = 4 * 8 * 1024**2 * 64  # two products


def flops(attend, **options):
    with FlopCounterMode(display=False, **options) as counter:
        attend()
    return counter.get_total_flops()


def fused():
    scaled_dot_product_attention(*(torch.zeros(shape) for _ in range(3)))


def written_out():
    query, key, value = (torch.zeros(shape) for _ in range(3))
    (query @ key.transpose(2, 3)).softmax(3) @ value


fused_op = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
mended = {fused_op: lambda query, key, value, *_, **__: sdpa_flop_count(query, key, value)}
print("written out:", flops(written_out), "expected:", expected)
print("fused:", flops(fused), "with a formula for it:", flops(fused, custom_mapping=mended))
with FakeTensorMode():
    fake = flops(fused)
print("fused, fake tensors:", fake)
assert flops(written_out) == expected, "matrix products are counted otherwise"
assert flops(fused) == fake == 0, "attention on a CPU is counted now"
assert flops(fused, custom_mapping=mended) == expected, "the mapping no longer mends it"
PYTHON
