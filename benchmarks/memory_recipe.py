"""The recipe of minutes, configs/splats_gpu.yaml: its passes, FLOPs and memory, counted.

The networks' passes are those of a step, run under PyTorch's FakeTensorMode, in which every storage
and every product is counted and nothing computed; the splats are the representation's own count.
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from flops import counting
from memory_counting import Counter, counted
from memory_page import CONTEXT, MOMENTS
from memory_step import _prior

from redream.priors import BASE, Guided
from redream.representations import Splats
from redream.types import NoisyRows

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "configs" / "splats_gpu.yaml"
MINUTES = 15
PEAKS = {"RTX 3090": 71.0, "RTX 4090": 165.2}
"""TFLOP/s of 24 GB cards in half precision, dense, summed in single: their maker's numbers."""


def recipe() -> dict[str, Any]:
    """The recipe's model and number of steps."""
    config = yaml.safe_load(RECIPE.read_text("utf-8"))
    return config["model"] | {"steps": config["trainer"]["max_steps"]}


def count(model: str = "Stable Diffusion 2.1") -> dict[str, float]:
    """Counts a step and a run of the recipe.

    Returns:
        ``views`` and ``rows`` of a step, ``steps``; bytes: ``networks``, ``step`` (beyond them) and
        ``splats``; products, as FLOPs: ``encode`` (with its backward pass) and ``score``.
    """
    torch.set_default_dtype(torch.bfloat16)
    try:
        with counted(fake=True) as counter:
            return _count(counter, model)
    finally:
        torch.set_default_dtype(torch.float32)


def _count(counter: Counter, model: str) -> dict[str, float]:
    plan = recipe()
    views, size = plan["cameras"]["num_views"], plan["cameras"]["render_size"]
    prior = _prior(model, {})
    torch.set_default_dtype(torch.float32)
    text = prior.encode_prompts(["a dog"])[:1]
    prior.free_text_encoders()
    counter.extra(lambda: None)
    networks = counter.held
    times = torch.zeros(views, dtype=torch.long)
    latents = torch.randn(views, *prior.latent_shape)
    rows = NoisyRows(latents, times, text.expand(views, -1, -1), (BASE,) * views)

    def encode() -> torch.Tensor:
        picture = torch.rand(views, 3, size, size, requires_grad=True)
        encoded = prior.encode_images(picture)
        encoded.sum().backward()
        return encoded

    @torch.no_grad()
    def score() -> object:  # ASD.gradient: guided at t, plain at t'
        return prior.predict_guided(Guided(rows, 7.5, text), Guided(rows))

    def step() -> None:
        picture = torch.rand(views, 3, size, size, requires_grad=True)
        encoded = prior.encode_images(picture)
        score()
        encoded.sum().backward()

    particle = partial(Splats, num_splats=plan["representation"]["init_args"]["num_splats"])()
    trained = 4 * sum(each.numel() for each in particle.parameters())
    found = {"views": views, "rows": 3 * views, "steps": plan["steps"], "networks": networks}
    found["step"] = counter.extra(step)
    found["splats"] = trained * (1 + MOMENTS / 4) + particle.render_bytes(views, size**2)
    for name, work in (("encode", encode), ("score", score)):
        with counting() as flops:
            work()
        found[name] = flops.get_total_flops()
    return found


def table(found: dict[str, float]) -> str:
    """The count as Markdown, and what it asks of a card."""
    flops = found["encode"] + found["score"]
    memory = found["networks"] + found["step"] + found["splats"] + CONTEXT
    needed = flops * found["steps"] / (60.0 * MINUTES) / 1e12
    peaks = ", ".join(f"{100 * needed / peak:.0f}% of an {card}'s" for card, peak in PEAKS.items())
    return "\n".join(
        [
            f"| {found['steps']:.0f} steps of {found['views']:.0f} views | a step | the run |",
            "|---|---|---|",
            f"| rows through the UNet, none with gradients | {found['rows']:.0f} "
            f"| {found['rows'] * found['steps']:,.0f} |",
            f"| of the UNet, TFLOP | {found['score'] / 1e12:.1f} "
            f"| {found['score'] * found['steps'] / 1e12:,.0f} |",
            f"| of the autoencoder and its gradient, TFLOP | {found['encode'] / 1e12:.1f} "
            f"| {found['encode'] * found['steps'] / 1e12:,.0f} |",
            f"| memory, GB | {memory / 1e9:.1f} | networks {found['networks'] / 1e9:.1f}, a step "
            f"{found['step'] / 1e9:.1f}, splats {found['splats'] / 1e9:.2f}, context "
            f"{CONTEXT / 1e9:.1f} (assumed) |",
            "",
            f"In {MINUTES} minutes that is {needed:.0f} TFLOP/s: {peaks} peak in half precision.",
        ]
    )
