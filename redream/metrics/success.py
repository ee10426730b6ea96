"""How often fronts are found (Table 3), and how sure that number is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SuccessRate:
    """How often the front was found, with its 95% Wilson interval.

    Attributes:
        num_successes: Assets whose front was found.
        num_assets: Assets tried.
        rate: Their ratio.
        low: Lower end of the interval.
        high: Upper end of the interval.
        num_sideways: Failures whose front ended on a side.
        num_reversed: Failures whose front ended at the back, within the tolerance of 180 degrees.
    """

    num_successes: int
    num_assets: int
    rate: float
    low: float
    high: float
    num_sideways: int
    num_reversed: int


def orientation_success(
    estimated_deg: Sequence[float], true_deg: Sequence[float], tolerance_deg: float = 45.0
) -> SuccessRate:
    """The success rate of the alignment as Table 3 (App. E.5) defines it.

    Args:
        estimated_deg: Estimated yaw of each asset with a front.
        true_deg: Its true yaw.
        tolerance_deg: Largest deviation that counts as success.

    Returns:
        The rate with its interval.
    """
    deviations = [
        abs((estimate - truth + 180.0) % 360.0 - 180.0)
        for estimate, truth in zip(estimated_deg, true_deg, strict=True)
    ]
    num = len(deviations)
    failures = [deviation for deviation in deviations if deviation > tolerance_deg]
    num_reversed = sum(deviation >= 180.0 - tolerance_deg for deviation in failures)
    num_successes = num - len(failures)
    low, high = wilson_interval(num_successes, num)
    return SuccessRate(
        num_successes,
        num,
        num_successes / num,
        low,
        high,
        num_sideways=len(failures) - num_reversed,
        num_reversed=num_reversed,
    )


def wilson_interval(num_successes: int, num_trials: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval (1927) of a proportion.

    Args:
        num_successes: Successes.
        num_trials: Trials.
        z: Normal quantile; 1.96 for 95%.

    Returns:
        The lower and upper end.

    Raises:
        ValueError: Without trials.
    """
    if num_trials < 1:
        raise ValueError("a success rate needs at least one trial")
    rate, squared = num_successes / num_trials, z * z
    centre = (rate + squared / (2 * num_trials)) / (1 + squared / num_trials)
    half = z / (1 + squared / num_trials)
    half *= math.sqrt(rate * (1 - rate) / num_trials + squared / (4 * num_trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)
