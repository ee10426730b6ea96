"""What a step of the diffusion models holds: the project's own prior, adapters and passes."""

from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from memory_counting import Counter, counted
from memory_models import MODELS

from redream.adapters import LightAdapter, VariationalAdapter
from redream.cameras import turntable
from redream.method import adaptation
from redream.method.early_backward import backward_now
from redream.priors import Guided, StableDiffusionPrior, join_rows
from redream.types import NoisyRows


def measure(name: str, two: bool = False, **options: Any) -> dict[str, float]:  # noqa: ANN401
    """Bytes of a model's weights and passes in half precision, one view, at its own size.

    Args:
        name: Of ``MODELS``.
        two: Whether a second network hosts zeta.
        **options: Of the prior.

    Returns:
        ``resident`` as loaded, ``running`` while the adapter learns and ``without_text`` after; and
        the most bytes beyond: ``encode`` and ``held_out`` of the adaptation, and ``step``, from the
        picture to the gradients, while the adapter learns, corrected as in App. B; in it
        ``autoencoder``, what the encoding of the picture remembers.
    """
    torch.set_default_dtype(torch.bfloat16)
    try:
        with counted(fake=True) as counter:
            return _measure(counter, name, two, options)
    finally:
        torch.set_default_dtype(torch.float32)


def _measure(counter: Counter, name: str, two: bool, options: dict[str, Any]) -> dict[str, float]:
    prior = _prior(name, options)
    torch.set_default_dtype(torch.float32)
    adapter, zeta = LightAdapter(), VariationalAdapter()
    host = prior
    if two:
        torch.set_default_dtype(torch.bfloat16)
        host = _prior(name, options)
        torch.set_default_dtype(torch.float32)
        host.free_autoencoder()
    adapter.attach(prior)
    zeta.attach(host)
    counter.extra(lambda: None)
    found: dict[str, float] = {"image_size": prior.image_size, "resident": counter.held}
    prefixes = adapter.prefixes(["front"])
    text = prior.encode_prompts(["a dog"])[:1]
    if two:
        host.free_text_encoders()  # as a run does before its first step
    counter.extra(lambda: None)
    found["running"] = counter.held
    latents, side = torch.randn(1, *prior.latent_shape), prior.image_size
    pictures = max(1, adaptation._PIXELS_AT_ONCE // side**2)
    rows = max(1, adaptation._LATENTS_AT_ONCE // latents[0, 0].numel())

    def batch(num: int, adapter: str, cameras: Any = None) -> NoisyRows:  # noqa: ANN401
        times = torch.zeros(num, dtype=torch.long)
        many = latents.expand(num, -1, -1, -1).contiguous()
        return NoisyRows(many, times, text.expand(num, -1, -1), (adapter,) * num, cameras)

    def score(num: int) -> None:
        mine = Guided(batch(num, "omega"), 7.5, text)
        theirs = batch(num, "zeta", zeta.embed_cameras(turntable(num)))
        if two:
            prior.predict_guided(mine)
            host.predict_noise(theirs)
        else:
            prior.predict_guided(mine, Guided(theirs))

    def step() -> None:
        picture = torch.rand(1, 3, side, side, requires_grad=True)
        before = counter.held
        encoded = prior.encode_images(picture)
        found["autoencoder"] = counter.held - before
        with torch.no_grad():
            prior.encode_images(picture.detach())
            score(2)
        loss = backward_now({"": encoded.sum()}, [picture])[""]
        del encoded
        zetas = batch(1, "zeta", zeta.embed_cameras(turntable(1)))
        omegas = batch(1, "omega")._replace(text=prior.encode_prompts(["a dog"], prefixes))
        if two:
            answers = [host.predict_noise(zetas), prior.predict_noise(omegas)]
        else:
            answers = [prior.predict_noise(join_rows([zetas, omegas]))]
        sum((each.square().mean() for each in answers), loss).backward()
        for parameter in [*adapter.parameters(), *zeta.parameters()]:
            parameter.grad = None

    with torch.no_grad():
        found["encode"] = counter.extra(
            partial(prior.encode_images, torch.rand(pictures, 3, side, side))
        )
        found["held_out"] = counter.extra(lambda: prior.predict_noise(batch(rows, "omega")))
    found["step"] = counter.extra(step)
    for each in {id(each): each for each in (prior, host)}.values():
        each.free_text_encoders()
    counter.extra(lambda: None)
    found["without_text"] = counter.held
    return found


def _prior(name: str, options: dict[str, Any]) -> StableDiffusionPrior:
    family = MODELS[name]()
    with patch("redream.priors.stable_diffusion.load_family", return_value=family):
        return StableDiffusionPrior(name, dtype="bfloat16", **options)
