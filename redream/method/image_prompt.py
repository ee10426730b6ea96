"""What the object is to look like: whether a run fits its picture, and who paints a missing one."""

from collections.abc import Sequence

import torch

from redream.adapters import Adapter
from redream.method.cameras import CameraSampler
from redream.priors import Prior
from redream.types import ImagePrompt, RetrievedAssets


def require_reader(prior: Prior, adapter: Adapter | None) -> None:
    """Refuses prefixes of a prompt that nobody reads.

    Raises:
        ValueError: If the adapter learns some.
    """
    if not prior.reads_prompts and getattr(adapter, "learn_prefixes", False):
        raise ValueError(
            f"{type(prior).__name__} reads no prompt, and e_psi would learn nothing: set "
            "--model.adapter.init_args.learn_prefixes false"
        )


def require_image(
    assets: RetrievedAssets, priors: Sequence[Prior], cameras: CameraSampler, is_rebuilt: bool
) -> None:
    """Finds out, before the first step, whether a run has the picture that it needs.

    Args:
        assets: May have a picture.
        priors: All priors of the run.
        cameras: The views of a step.
        is_rebuilt: Whether particles learn the picture itself.

    Raises:
        ValueError: If it is missing and nobody can paint it, if nobody looks at it, or if views
            are taken otherwise than a prior can be told.
    """
    image = getattr(assets, "image", None)  # data of others may know no pictures
    needing = [each for each in priors if each.needs_image]
    if image is None:
        if (needing or is_rebuilt) and painter(priors) is None:
            who = type(needing[0]).__name__ if needing else "model.reconstruction"
            raise ValueError(
                f"{who} must be shown the object, and no prior of the run can paint it from the "
                "prompt: set --data.image to a picture"
            )
        return
    if not needing and not is_rebuilt:
        raise ValueError(
            "nobody looks at --data.image: take a prior that is shown the object, such as "
            "Zero123Prior, set --model.reconstruction.color, or leave the picture out"
        )
    for each in needing:
        each.require_image(image, cameras.distances, cameras.fovy_deg)


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
