"""Whole sets of views, as multi-view priors look at them."""

from collections.abc import Sequence

from redream.method.adaptation import AdaptationSchedule
from redream.method.cameras import CameraSampler
from redream.priors import Prior, azimuths_together, views_together


def require_views(
    priors: Sequence[Prior | None], cameras: CameraSampler, adaptation: AdaptationSchedule
) -> tuple[int, tuple[float, ...] | None]:
    """Finds out, before anything is made, whether all priors can score a run's views.

    Args:
        priors: phi, and zeta's own network where there is one.
        cameras: The views of a step.
        adaptation: The views of assets in a step.

    Returns:
        How many views are drawn together, so that each prior gets whole sets, and where these
        stand; None where at equal steps.

    Raises:
        ValueError: If they cannot; one line, with what to set.
    """
    for prior in priors:
        if prior is not None:
            for num in cameras.nums:
                prior.require_views(
                    num, cameras.elevation_deg, cameras.fovy_deg, cameras.half_heights
                )
    num = views_together(*priors)
    for option, value in (
        *(("model.cameras.num_views", each) for each in cameras.nums),
        ("model.adaptation.batch_size", adaptation.batch_size),
    ):
        if value % num:
            raise ValueError(
                f"{option} is {value}, and {num} views of an object are looked at together: "
                f"set --{option} {max(1, value // num) * num}"
            )
    return num, azimuths_together(*priors)
