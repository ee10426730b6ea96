"""What the object is to look like: whether a run fits its picture, and who paints a missing one."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch

from redream.adapters import Adapter
from redream.method.cameras import CameraSampler
from redream.method.guidance import Guidance
from redream.method.reconstruction import Reconstruction
from redream.priors import Prior
from redream.priors.prompting import Prompting, ViewWords
from redream.types import ImagePrompt, RetrievedAssets


def require_reader(
    prior: Prior, adapter: Adapter | None, guidance: Guidance, prompting: Prompting | None
) -> None:
    """Refuses what would tell words to a prior that reads none.

    Raises:
        ValueError: If the adapter learns prefixes, the way compares texts, or the prompting moves
            away from some.
    """
    if prior.reads_prompts:
        return
    name = type(prior).__name__
    if getattr(adapter, "learn_prefixes", False):
        raise ValueError(
            f"{name} reads no prompt, and e_psi would learn nothing: set "
            "--model.adapter.init_args.learn_prefixes false"
        )
    if guidance.other_texts("a dog"):
        raise ValueError(
            f"{name} reads no prompt, and {type(guidance).__name__} compares what a prior makes of "
            "two: take another way, such as --model.guidance SDS"
        )
    if type(prompting) not in (type(None), ViewWords):
        raise ValueError(
            f"{name} reads no prompt, and {type(prompting).__name__} would make no difference: "
            "set --model.prompting null"
        )


def require_image(
    assets: RetrievedAssets,
    priors: Sequence[Prior],
    cameras: CameraSampler,
    reconstruction: Reconstruction,
) -> None:
    """Finds out, before anything is retrieved, whether a run has the picture that it needs.

    Args:
        assets: May have a picture.
        priors: All priors of the run.
        cameras: The views of a step.
        reconstruction: What particles learn of the picture itself.

    Raises:
        ImportError: If it has to be painted, and nothing is installed that cuts it out.
        ValueError: If it is missing and nobody can paint it, if nobody looks at it, if the order
            of its depths is to be learned and it has none, or if views are taken otherwise than a
            prior can be told.
    """
    image = getattr(assets, "image", None)  # data of others may know no pictures
    needing, is_rebuilt = [each for each in priors if each.needs_image], reconstruction.is_on
    if is_rebuilt:
        reconstruction.require_depth(image)
    if image is None:
        if not needing and not is_rebuilt:
            return
        if painter(priors) is None:
            who = type(needing[0]).__name__ if needing else "model.reconstruction"
            raise ValueError(
                f"{who} must be shown the object, and no prior of the run can paint it from the "
                "prompt: set --data.image to a picture"
            )
        if isinstance(assets, Painted):
            assets.require_cutter()
        return
    if not needing and not is_rebuilt:
        raise ValueError(
            "nobody looks at --data.image: take a prior that is shown the object, such as "
            "Zero123Prior, set --model.reconstruction.color, or leave the picture out"
        )
    for each in needing:
        each.require_image(image, cameras.distances, cameras.fovy_deg)


@runtime_checkable
class Painted(Protocol):
    """Data that cut a painted object out of its picture."""

    def require_cutter(self) -> None:
        """Makes sure that they can."""


def painter(priors: Sequence[Prior]) -> Prior | None:
    """The first prior that makes a picture of the prompt alone; None where there is none."""
    found = (each for each in priors if each.reads_prompts and not each.needs_image)
    return next(found, None)


def image_of(
    assets: RetrievedAssets, priors: Sequence[Prior], is_needed: bool, device: torch.device
) -> ImagePrompt | None:
    """The user's picture, or one that a prior of the run paints where it is needed."""
    image: ImagePrompt | None = getattr(assets, "image", None)
    by = painter(priors)
    if image is None and is_needed and by is not None:
        image = assets.paint_image(by)
    return None if image is None else image.to(device)
