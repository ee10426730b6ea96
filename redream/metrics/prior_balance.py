"""How evenly a 2D prior covers the viewpoints, and whether it shows the one that it is asked for.

This protocol is ours: the paper shows the bias in pictures (Figs. 4 and 14).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.adapters import Adapter
from redream.cameras import VIEW_NAMES, orbit, set_steps, view_names
from redream.metrics.view_balance import ViewJudge
from redream.priors import BASE, Prior, with_image
from redream.types import ImagePrompt, key_generator

_BATCH = 50  # pictures sampled at once
_FIRST_DEG = {"front": 0.0, "side": 90.0, "back": 180.0}


@dataclass(frozen=True)
class PriorBalance:
    """What a prior shows when it is asked for views, each equally often.

    Attributes:
        confusion: ``3 3`` counts: a row for each view asked for, a column for each view seen, in
            the order of ``cameras.VIEW_NAMES``.
        accuracy: For each view asked for, the share of pictures that show it.
        front_given_back: P(front | "back view"): what makes a second face.
        entropy: Entropy of the views seen, over all pictures, divided by its maximum log 3; 1 is
            even, 0 shows one view alone.
        imbalance: Total variation distance of the views seen from even ones, 0 to 2/3.
    """

    confusion: list[list[int]]
    accuracy: dict[str, float]
    front_given_back: float
    entropy: float
    imbalance: float


def balance_of(asked: Int[Tensor, " B"], seen: Int[Tensor, " B"]) -> PriorBalance:
    """Sums up what was asked for and what was seen.

    Args:
        asked: For each picture the index of the view asked for, in ``cameras.VIEW_NAMES``.
        seen: The index of the view that it shows.

    Returns:
        The balance.

    Raises:
        ValueError: If the views are not asked for equally often.
    """
    num = len(VIEW_NAMES)
    confusion = torch.bincount(asked * num + seen, minlength=num * num).view(num, num)
    per_view = confusion.sum(dim=1)
    if int(per_view.min()) == 0 or int(per_view.min()) != int(per_view.max()):
        raise ValueError(f"ask for every view equally often, got {per_view.tolist()}")
    shares = confusion.double() / per_view[:, None]
    marginal = confusion.sum(dim=0).double() / confusion.sum()
    return PriorBalance(
        confusion=confusion.tolist(),
        accuracy={name: float(shares[i, i]) for i, name in enumerate(VIEW_NAMES)},
        front_given_back=float(shares[VIEW_NAMES.index("back"), VIEW_NAMES.index("front")]),
        entropy=float(-torch.xlogy(marginal, marginal).sum() / math.log(num)),
        imbalance=float((marginal - 1.0 / num).abs().sum() / 2.0),
    )


def measure_prior(
    prior: Prior,
    prompt: str,
    judge: ViewJudge,
    adapter: Adapter | None = None,
    num_samples: int = 16,
    guidance_scale: float = 7.5,
    seed: int = 0,
    image: ImagePrompt | None = None,
) -> PriorBalance:
    """Samples pictures of a prompt from every view and has them judged.

    The same noise is used for each view, and for the raw and the adapted prior.

    Args:
        prior: The prior.
        prompt: What to show.
        judge: Says which side a picture shows.
        adapter: Samples with omega and e_psi; None asks the raw prior in words.
        num_samples: Pictures of each view.
        guidance_scale: Classifier-free guidance.
        seed: Draws the noise.
        image: What the object looks like, for priors that are told.

    Returns:
        The balance.
    """
    asked, seen = [], []
    for index, view in enumerate(VIEW_NAMES):
        pictures = sample_pictures(
            prior, [prompt] * num_samples, guidance_scale, seed, adapter, view, image
        )
        asked += [index] * num_samples
        seen.append(judge.probabilities(prompt, pictures.cpu()).argmax(dim=1))
    return balance_of(torch.tensor(asked), torch.cat(seen))


@torch.no_grad()
def sample_pictures(
    prior: Prior,
    prompts: Sequence[str],
    guidance_scale: float,
    seed: int,
    adapter: Adapter | None = None,
    view: str | None = None,
    image: ImagePrompt | None = None,
) -> Float[Tensor, "B 3 H W"]:
    """Samples one picture a prompt from the prior, raw or adapted.

    Args:
        prior: The prior.
        prompts: What to show.
        guidance_scale: Classifier-free guidance.
        seed: Seed of the noise.
        adapter: Samples with omega, and with e_psi where a view is named; None is the raw prior.
        view: ``front``, ``side`` or ``back``; the raw prior is asked for it in words, and a prior
            that is told poses by its pose. One that looks at sets of views samples a whole set,
            of which the first is taken.
        image: What the object looks like, for priors that are told.

    Returns:
        Pictures in [0, 1].
    """
    together = prior.views_per_set
    steps, first = set_steps(together, prior.set_azimuths_deg), _FIRST_DEG[view or "front"]
    chosen = 0 if prior.set_azimuths_deg is None else int((steps - first).abs().argmin())
    azimuth = steps + first if prior.set_azimuths_deg is None else steps
    ones = torch.ones(together)
    cameras = orbit(azimuth, 15.0 * ones, 3.0 * ones, 40.0 * ones)
    seen_of_object = prior.image_tokens(image)
    names, size, parts = view_names(cameras.azimuth_deg), max(1, _BATCH // together), []
    for start in range(0, len(prompts), size):
        chunk = [each for each in prompts[start : start + size] for _ in range(together)]
        seen = names * (len(chunk) // together)
        prefixes = None
        if adapter is not None and view is not None:
            prefixes = adapter.prefixes(seen)
        if prefixes is not None:
            text = prior.encode_prompts(chunk, prefixes)
        elif view is not None:
            spoken = [f"{prompt}, {name} view" for prompt, name in zip(chunk, seen, strict=True)]
            text = prior.encode_prompts(spoken)
        else:
            text = prior.encode_prompts(chunk)
        name = BASE if adapter is None else adapter.name
        generator = key_generator("sample", seed, start)
        poses = cameras.c2w.repeat(len(chunk) // together, 1, 1).to(prior.device)
        pictures = prior.sample(
            with_image(text.detach(), seen_of_object),
            guidance_scale,
            generator=generator,
            adapter=name,
            poses=poses,
        )
        parts.append(pictures[chosen::together])
    return torch.cat(parts)
