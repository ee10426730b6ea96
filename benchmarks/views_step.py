"""A step of SDS with guidance from priors of several views and of pictures: bytes and FLOPs.

The passes are those of a run, on tensors that take no memory: from pictures to their gradients.
"""

from collections.abc import Sequence
from typing import Any

import torch
from flops import counting
from memory_counting import counted
from torch import Tensor
from views_models import ARRANGEMENTS, Make

from redream.cameras import orbit, set_steps, turntable
from redream.priors import BASE, Guided, Prior, with_image
from redream.types import ImagePrompt, NoisyRows

HALF = torch.bfloat16


def count_all(name: str) -> dict[str, Any]:
    """Counts an arrangement; ``recomputed`` is its ``step`` with gradient checkpointing."""
    again = count(name, gradient_checkpointing=True)
    return count(name) | {"recomputed": again["step"]}


def count(name: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    """Counts a step of an arrangement in half precision, without adapters.

    Args:
        name: Of ``ARRANGEMENTS``.
        **options: Of the priors.

    Returns:
        ``views``; ``sides`` of the pictures that each prior scores; ``rows`` through the denoisers;
        bytes: ``resident``, once all prompts and pictures are encoded, and ``step`` beyond that;
        products as FLOPs: ``encode``, with the autoencoders' backward passes, and ``score``.
    """
    _, views, makers = ARRANGEMENTS[name]
    with counted(fake=True) as counter:
        priors = [_made(make, options) for make in makers]
        texts = [_text(prior) for prior in priors]
        for prior in priors:
            prior.free_text_encoders()
        counter.extra(lambda: None)
        found: dict[str, Any] = {
            "views": views,
            "sides": [prior.image_size for prior in priors],
            "resident": counter.held,
        }
        rows: list[int] = []
        for prior in priors:
            prior.family.denoiser.register_forward_pre_hook(  # type: ignore[union-attr]
                lambda module, given: rows.append(len(given[0]))
            )
        found["step"] = counter.extra(lambda: step(priors, texts, views))
        found["rows"] = sum(rows)
        with counting() as flops:
            latents = [encode(prior, views) for prior in priors]
            sum(each.sum() for each in latents).backward()  # type: ignore[union-attr]
        found["encode"] = flops.get_total_flops()
        with counting() as flops:
            for prior, text, each in zip(priors, texts, latents, strict=True):
                score(prior, text, each)
        found["score"] = flops.get_total_flops()
    return found


def _made(make: Make, options: dict[str, Any]) -> Prior:
    torch.set_default_dtype(HALF)
    try:
        return make(HALF, **options)
    finally:
        torch.set_default_dtype(torch.float32)


@torch.no_grad()
def _text(prior: Prior) -> Tensor:
    text = prior.encode_prompts(["a dog"])
    picture = ImagePrompt(torch.rand(1, 4, 512, 512), turntable(1))
    return with_image(text, prior.image_tokens(picture))


def encode(prior: Prior, views: int) -> Tensor:
    """Latents of pictures, with gradients."""
    side = prior.image_size
    return prior.encode_images(torch.rand(views, 3, side, side, requires_grad=True))


@torch.no_grad()
def score(prior: Prior, text: Tensor, latents: Tensor) -> Tensor:
    """The guided noise of whole sets of views."""
    num = len(latents)
    azimuth = set_steps(num, prior.set_azimuths_deg)
    ones = torch.ones(num)
    poses = orbit(azimuth, 0.0 * ones, 3.0 * ones, 40.0 * ones).c2w
    times = torch.full((num,), 500)
    noisy = latents.detach() * 0.5 + torch.randn_like(latents)
    rows = NoisyRows(noisy, times, text.expand(num, -1, -1), (BASE,) * num, poses=poses)
    (eps,) = prior.predict_guided(Guided(rows, 7.5, torch.zeros_like(text)))
    return eps


def step(priors: Sequence[Prior], texts: Sequence[Tensor], views: int) -> None:
    """Encodes the views for each prior, scores them, and goes back to the pictures."""
    losses = []
    for prior, text in zip(priors, texts, strict=True):
        latents = encode(prior, views)
        losses.append((latents - score(prior, text, latents)).square().sum())
    sum(losses).backward()  # type: ignore[union-attr]
