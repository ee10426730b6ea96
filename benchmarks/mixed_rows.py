"""Scores one row under each hat: in one forward pass, and in three.

Run with ``python benchmarks/mixed_rows.py [--threads 1]``.
"""

import argparse
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
HATS = ("__base__", "omega", "zeta")


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    """Shortest duration of a call: what else the machine does is not ours."""
    for _ in range(3):
        call()
    durations = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        durations.append(1e3 * (time.perf_counter() - begin))
    return min(durations)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
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
    parameters = sum(parameter.numel() for parameter in prior.unet.parameters())
    print(f"UNet of {parameters / 1e6:.1f}M parameters, {arguments.threads} thread(s)")

    def report(label: str, call: Callable[[], object]) -> None:
        print(f"{label:45s}{milliseconds(call, arguments.repeats):8.1f} ms")

    report("text encoder, 3 prompts", lambda: prior.encode_prompts(["a dog"] * 3))
    report("frozen prior without adapters, 3 rows", lambda: prior.predict_noise(rows))
    for adapter in (LightAdapter(), VariationalAdapter()):
        adapter.attach(prior)
    mixed = rows._replace(adapters=HATS)
    single = [
        NoisyRows(rows.latents[i : i + 1], rows.timesteps[i : i + 1], rows.text[i : i + 1], (hat,))
        for i, hat in enumerate(HATS)
    ]
    with torch.no_grad():
        report("frozen prior with adapters, 3 rows", lambda: prior.predict_noise(rows))
        report("three hats in one forward pass", lambda: prior.predict_noise(mixed))
        report("three hats in three", lambda: [prior.predict_noise(row) for row in single])
    report(
        "omega and zeta, forward and backward",
        lambda: prior.predict_noise(mixed).square().mean().backward(),
    )


if __name__ == "__main__":
    main()
