"""What a step of MVDream holds, as this project and as MVDream-threestudio arrange it.

Bytes of every storage, counted on tensors that take no memory; four views of 256 pixels, from the
pictures to their gradients. Of the peer's source (efcd6c3, ``multiview_diffusion_guidance.py``,
``mvdream/model_zoo.py`` and ``precision: 16-mixed``): all networks in float32 under autocast, the
text encoder among them to the end, eight rows without gradients::

    python benchmarks/multiview.py
"""

import json
from collections.abc import Callable

import torch
from memory_counting import counted
from torch import Tensor
from views_models import SIDE, mvdream

from redream.cameras import turntable
from redream.priors import BASE, Guided, MVDreamPrior
from redream.types import NoisyRows

VIEWS, HALF = 4, torch.bfloat16


def made(dtype: torch.dtype) -> MVDreamPrior:
    """MVDream of random weights."""
    torch.set_default_dtype(dtype)
    try:
        return mvdream(dtype)
    finally:
        torch.set_default_dtype(torch.float32)


def step_of(prior: MVDreamPrior, text: Tensor) -> tuple[Callable[[], None], list[int]]:
    """A step of SDS, from pictures to their gradients; and how many rows it scored."""
    rows_seen: list[int] = []
    prior.family.denoiser.register_forward_pre_hook(
        lambda module, args: rows_seen.append(len(args[0]))
    )

    def step() -> None:
        pictures = torch.rand(VIEWS, 3, SIDE, SIDE, requires_grad=True)
        latents = prior.encode_images(pictures)
        with torch.no_grad():
            times = torch.full((VIEWS,), 500)
            noisy = latents.detach() * 0.5 + torch.randn_like(latents)
            views = text.expand(VIEWS, -1, -1)
            poses = turntable(VIEWS).c2w
            rows = NoisyRows(noisy, times, views, (BASE,) * VIEWS, poses=poses)
            (eps,) = prior.predict_guided(Guided(rows, 50.0, text, rescale=0.5))
        ((latents - eps.detach()).square().sum() / VIEWS).backward()

    return step, rows_seen


def measure(dtype: torch.dtype, keeps_text: bool, autocast: bool) -> dict[str, float]:
    """Bytes of an arrangement: at rest, and the most beyond that in a step; and its rows."""
    with counted(fake=True) as counter:
        prior = made(dtype)
        text = prior.encode_prompts(["a dog"]).detach()
        if not keeps_text:
            prior.free_text_encoders()
        step, rows = step_of(prior, text)
        counter.extra(lambda: None)
        resident = counter.held
        with torch.autocast("cpu", dtype=HALF, enabled=autocast):
            extra = counter.extra(step)
    return {"resident": resident, "step": extra, "rows": float(sum(rows))}


def main() -> None:
    """Prints both and their ratio."""
    ours = measure(HALF, keeps_text=False, autocast=False)
    theirs = measure(torch.float32, keeps_text=True, autocast=True)
    total = [each["resident"] + each["step"] for each in (ours, theirs)]
    print(json.dumps({"ours": ours, "theirs": theirs, "ratio": total[0] / total[1]}, indent=2))


if __name__ == "__main__":
    main()
