#!/usr/bin/env bash
# Reading `model.dtype` of a diffusers model visits every module of it, every time.
#
# The surprise: ModelMixin.dtype is no attribute. Each read walks named_modules() to the end, looking for a
# layerwise-casting hook, and only then looks at a parameter. On a UNet with adapters that is thousands
# of Python steps: milliseconds, as much as a small network's own forward pass, and on a GPU time in
# which nothing is launched.
# The tempting wrong guess: `x.to(unet.dtype)` in the inner loop costs nothing.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet 'torch==2.13.0' 'numpy==2.2.6' 'diffusers==0.42.1' 'transformers<6'
venv/bin/python - <<'PYTHON'
import time

import diffusers
import torch
from diffusers import UNet2DConditionModel

print("diffusers", diffusers.__version__)
unet = UNet2DConditionModel(  # Stable Diffusion's layout, narrow
    block_out_channels=(32, 64, 64, 64), cross_attention_dim=32, attention_head_dim=4, norm_num_groups=8
)
modules = sum(1 for _ in unet.modules())
visited = 0
whole = torch.nn.Module.named_modules


def counted(self, *args, **kwargs):
    global visited
    for each in whole(self, *args, **kwargs):
        visited += self is unet and args == () and kwargs == {}
        yield each


torch.nn.Module.named_modules = counted
unet.dtype
torch.nn.Module.named_modules = whole
started = time.perf_counter()
for _ in range(20):
    unet.dtype
took = (time.perf_counter() - started) / 20
started = time.perf_counter()
for _ in range(20):
    next(unet.parameters()).dtype
first = (time.perf_counter() - started) / 20
print(f"{modules} modules, {visited} of them visited by one read of unet.dtype")
print(f"{took * 1e3:.2f} ms a read; the first parameter's dtype: {first * 1e3:.4f} ms")
assert visited >= modules > 500, "a read of dtype no longer walks all modules"
assert took > 20 * first
PYTHON
