"""How many views priors look at together, and from where."""

from redream.priors.base import Prior


def views_together(*priors: Prior | None) -> int:
    """How many views a run draws together, so that each prior gets whole sets.

    Raises:
        ValueError: If two priors look at sets of different sizes.
    """
    nums = {each.views_per_set for each in priors if each is not None} - {1}
    if len(nums) > 1:
        raise ValueError(
            f"two priors look at sets of {' and of '.join(map(str, sorted(nums)))} views, which no "
            "cameras are at once: take priors of one size of sets, or of single views"
        )
    return max(nums, default=1)


def azimuths_together(*priors: Prior | None) -> tuple[float, ...] | None:
    """Where a run's views of a set stand; None where at equal steps, from anywhere on.

    Raises:
        ValueError: If two priors want them at different places.
    """
    wanted = {
        each.set_azimuths_deg for each in priors if each is not None and each.views_per_set > 1
    }
    if len(wanted) > 1:
        raise ValueError(
            "two priors look at sets of views from different azimuths, which no cameras are at "
            "once: take priors of one kind of sets, or of single views"
        )
    return next(iter(wanted), None)
