"""What half precision takes from scores and from gradients: float16 and bfloat16 beside float32.

    python benchmarks/half_precision.py [--views 16]

The embedded world's prior, a trained UNet, and a miniature in Stable Diffusion's format on random
weights, both with an adapter that has learned something. From equal views, times and noise: the
difference that Eq. 2 descends where zeta says what the prior says without guidance,
eps_guided(7.5) - eps, by diffusion time; the pictures' latents; and the gradient of Eq. 5 for omega
and e_psi. An error is the length of the difference to float32 over float32's length, the median
over views. Half a minute of one core; the last line is JSON.
"""

import argparse
import json
import statistics
import tempfile
from typing import Any

import torch
from torch import Tensor

from redream.adapters import LightAdapter
from redream.losses import adapter_loss
from redream.mini.world import PictureSampler
from redream.priors import Guided, StableDiffusionPrior
from redream.priors.miniature import save_miniature
from redream.tools.embedded import resolve
from redream.types import NoisyRows

TIMES = ((20, 200), (200, 500), (500, 800), (800, 980))
HALVES = ("float16", "bfloat16")
SCALE = 7.5


def measure(model: str, views: int) -> dict[str, dict[str, float]]:
    """Relative errors of each half precision, by what is measured.

    Args:
        model: A diffusers folder.
        views: How many pictures.
    """
    answers = {dtype: _answers(model, dtype, views) for dtype in ("float32", *HALVES)}
    exact = answers["float32"]
    return {
        dtype: {
            name: statistics.median(
                float((a - b).norm() / b.norm())
                for a, b in zip(answers[dtype][name], exact[name], strict=True)
            )
            for name in exact
        }
        for dtype in HALVES
    }


def _answers(model: str, dtype: Any, views: int) -> dict[str, list[Tensor]]:  # noqa: ANN401
    prior, adapter = StableDiffusionPrior(model, dtype=dtype), LightAdapter()
    torch.manual_seed(0)
    adapter.attach(prior)
    for pair in adapter.lora.values():  # as if it had learned
        torch.nn.init.normal_(pair["lora_B"].weight, std=0.02)
    sampler = PictureSampler(0, size=prior.image_size)
    samples = [sampler[index] for index in range(views)]
    pictures = torch.stack([torch.from_numpy(each.picture) for each in samples])
    latents = prior.encode_images(pictures.permute(0, 3, 1, 2) / 255.0)
    found = {"latents": list(latents)}
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(latents.shape, generator=generator)
    true = _exact_latents(model, pictures)  # every precision scores the same x_t
    for low, high in TIMES:
        times = torch.randint(low, high, (views,), generator=generator)
        text = prior.encode_prompts([each.caption for each in samples])
        rows = NoisyRows(prior.add_noise(true, noise, times), times, text, (adapter.name,) * views)
        with torch.no_grad():
            negative = prior.encode_prompts([""])
            guided, plain = prior.predict_guided(Guided(rows, SCALE, negative), Guided(rows))
        found[f"score, t {low} to {high}"] = list(guided - plain)
    gradients = []
    times = torch.randint(20, 980, (views,), generator=generator)
    prefix = adapter.prefixes(["front"])
    for index in range(views):
        text = prior.encode_prompts([samples[index].caption], prefix)
        at = slice(index, index + 1)
        noisy = prior.add_noise(true[at], noise[at], times[at])
        eps = prior.predict_noise(NoisyRows(noisy, times[at], text, (adapter.name,)))
        loss = adapter_loss(eps, noise[at])
        learned = torch.autograd.grad(loss, list(adapter.parameters()), retain_graph=True)
        gradients.append(torch.cat([each.flatten() for each in learned]))
    found["gradient of Eq. 5"] = gradients
    return found


_EXACT: dict[str, Tensor] = {}


def _exact_latents(model: str, pictures: Tensor) -> Tensor:
    if model not in _EXACT:
        prior = StableDiffusionPrior(model)
        with torch.no_grad():
            _EXACT[model] = prior.encode_images(pictures.permute(0, 3, 1, 2) / 255.0)
    return _EXACT[model]


def table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """The errors as a Markdown table."""
    columns = [(model, dtype) for model in found for dtype in HALVES]
    lines = ["| | " + " | ".join(f"{model}, {dtype}" for model, dtype in columns) + " |"]
    lines.append("|---" * (1 + len(columns)) + "|")
    for name in next(iter(found.values()))[HALVES[0]]:
        cells = (f"{100 * found[model][dtype][name]:.2g}%" for model, dtype in columns)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table, then JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--views", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        save_miniature(folder)
        models = {"embedded prior": str(resolve("embedded:prior")), "random weights": folder}
        found = {name: measure(model, options.views) for name, model in models.items()}
    print(table(found))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
