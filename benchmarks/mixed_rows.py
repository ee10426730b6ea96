"""Scores one row with each adapter: in one forward pass, and in three.

Run with ``python benchmarks/mixed_rows.py``.
"""

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable

import torch

from redream.adapters import LightAdapter, VariationalAdapter
from redream.priors import StableDiffusionPrior
from redream.priors.miniature import save_miniature
from redream.types import NoisyRows

UNET = {
    "sample_size": 16,
    "block_out_channels": (48, 96, 96),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 4,
    "norm_num_groups": 16,
}
ADAPTERS = ("__base__", "omega", "zeta")


def report(cases: dict[str, Callable[[], object]], repeats: int) -> None:
    """Prints the median CPU time of each case, taken in turns so that all meet the same load."""
    durations: dict[str, list[float]] = {label: [] for label in cases}
    for _ in range(repeats):
        for label, call in cases.items():
            begin = time.process_time()
            call()
            durations[label].append(1e3 * (time.process_time() - begin))
    for label, values in durations.items():
        print(f"{label:45s}{statistics.median(values):8.1f} ms")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        save_miniature(folder, **UNET)
        prior = StableDiffusionPrior(folder)
    rows = NoisyRows(
        torch.randn(3, *prior.latent_shape),
        torch.tensor([500, 400, 300]),
        prior.encode_prompts(["a dog"] * 3),
        ("__base__",) * 3,
    )
    parameters = sum(parameter.numel() for parameter in prior.family.denoiser.parameters())
    print(f"UNet of {parameters / 1e6:.1f}M parameters, one thread")

    adapted = copy.deepcopy(prior)
    for adapter in (LightAdapter(), VariationalAdapter()):
        adapter.attach(adapted)
    mixed = rows._replace(adapters=ADAPTERS)
    single = [
        NoisyRows(
            rows.latents[i : i + 1], rows.timesteps[i : i + 1], rows.text[i : i + 1], (adapter,)
        )
        for i, adapter in enumerate(ADAPTERS)
    ]
    score = torch.no_grad()
    report(
        {
            "text encoder, 3 prompts": lambda: prior.encode_prompts(["a dog"] * 3),
            "frozen prior without adapters, 3 rows": lambda: prior.predict_noise(rows),
            "frozen prior with adapters, 3 rows": score(lambda: adapted.predict_noise(rows)),
            "three adapters in one forward pass": score(lambda: adapted.predict_noise(mixed)),
            "three adapters in three": score(
                lambda: [adapted.predict_noise(row) for row in single]
            ),
            "omega and zeta, forward and backward": lambda: (
                adapted.predict_noise(mixed).square().mean().backward()
            ),
        },
        arguments.repeats,
    )


if __name__ == "__main__":
    main()
