"""How sure a comparison is: intervals over clusters, paired tests, and when they decide."""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

Key = TypeVar("Key", bound=Hashable)
Member = TypeVar("Member", bound=Hashable)

LEVEL = 0.05
FEWEST = 6  # clusters that can decide: the smallest p of five is 1/16
_EXACT = 16  # up to so many pairs every sign is tried
_ENOUGH = 12  # clusters whose bootstrap is not yet much too narrow
_ROUNDING = 1e-6  # of a float32
Bounds = tuple[float, float]
ANY: Bounds = (-np.inf, np.inf)
SHARE: Bounds = (0.0, 1.0)
"""What a share can be."""


class Estimate(NamedTuple):
    """A mean with its 95% interval.

    Attributes:
        mean: The mean over clusters.
        low: Lower end; NaN of one cluster, which has no interval.
        high: Upper end; NaN likewise.
        num: Clusters.
    """

    mean: float
    low: float
    high: float
    num: int


class Comparison(NamedTuple):
    """A paired difference, its 95% interval and its p-value.

    Attributes:
        difference: Mean of the paired differences, first minus second.
        low: Lower end; NaN of one pair, which has no interval.
        high: Upper end; NaN likewise.
        p: Of a two-sided sign-flip test: how often signs drawn at random do as much.
        num: Pairs.
    """

    difference: float
    low: float
    high: float
    p: float
    num: int


def cluster_means(values: Mapping[tuple[Key, Member], float]) -> dict[Key, float]:
    """The mean of each cluster: values by (cluster, member), such as (prompt, seed)."""
    clusters: dict[Key, list[float]] = {}
    for (cluster, _), value in values.items():
        clusters.setdefault(cluster, []).append(value)
    return {cluster: float(np.mean(members)) for cluster, members in clusters.items()}


def estimate(
    values: Sequence[float], bounds: Bounds = ANY, num_draws: int = 10_000, seed: int = 0
) -> Estimate:
    """The mean of independent values, with its 95% interval.

    The interval is the bootstrap's, bias-corrected and accelerated (BCa; Efron, 1987), from 12
    values on. Of fewer it is too narrow, and Student's is taken. It ends where a value can. Values
    that are all the same have no spread to go by: then it holds every mean with which so many
    would be so with a probability of 2.5% or more. As ``|mean - value|`` is at most the distance
    to the bound times the share of others, that share decides: ``1 - 0.025 ** (1 / num)``. Without
    two bounds nothing is known of it, and both ends are the value.

    Args:
        values: One value a cluster: seeds of a prompt are no independent evidence.
        bounds: The least and the largest that a value can be, such as :data:`SHARE`.
        num_draws: Resamples of the bootstrap.
        seed: Draws them.

    Returns:
        The estimate.

    Raises:
        ValueError: Without values, or if one is out of bounds.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise ValueError("there is nothing to take the mean of")
    if array.min() < bounds[0] - _ROUNDING or array.max() > bounds[1] + _ROUNDING:
        raise ValueError(f"values from {array.min()} to {array.max()} are not within {bounds}")
    low, high = _interval(array, bounds, num_draws, seed)
    return Estimate(float(array.mean()), low, high, array.size)


def compare_paired(
    first: Mapping[Key, float],
    second: Mapping[Key, float],
    bounds: Bounds = ANY,
    num_draws: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compares two methods on what both have done.

    Args:
        first: A method's value for each cluster, such as a prompt.
        second: Another method's; clusters that one of them lacks are left out.
        bounds: The least and the largest that a value can be; a difference is within its reach.
        num_draws: Resamples, and sign flips where there are too many pairs to try all.
        seed: Draws them.

    Returns:
        The comparison.

    Raises:
        ValueError: If they have no cluster in common.
    """
    common = [key for key in first if key in second]
    if not common:
        raise ValueError("the methods have nothing in common to be compared on")
    differences = np.array([first[key] - second[key] for key in common], dtype=np.float64)
    reach = bounds[1] - bounds[0]
    low, high = _interval(differences, (-reach, reach), num_draws, seed)
    p = sign_flip_p(differences, num_draws, seed)
    return Comparison(float(differences.mean()), low, high, p, differences.size)


def sign_flip_p(differences: NDArray[np.float64], num_draws: int, seed: int = 0) -> float:
    """Fisher's randomisation test of a paired difference, two-sided.

    If neither method is better, each pair's difference is as likely as its opposite. Exact for 16
    pairs or fewer; above, signs are drawn, and the signs observed count as one of the draws.
    """
    num = differences.size
    if num <= _EXACT:
        bits = np.arange(2**num)[:, None] >> np.arange(num) & 1
        sums = (2 * bits - 1) @ differences
        extra = 0
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(num_draws, num))
        sums, extra = signs @ differences, 1
    observed = abs(differences.sum()) * (1 - 1e-12) - 1e-15
    return float((np.sum(np.abs(sums) >= observed) + extra) / (len(sums) + extra))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) adjustment of p-values for their number."""
    order = np.argsort(p_values)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def decided(p: float, num: int) -> bool:
    """Whether a difference may be called one: p is at most 5%, and clusters are enough.

    Args:
        p: The p-value, adjusted for all differences that are looked at.
        num: Clusters that it is from, such as prompts.
    """
    return num >= FEWEST and p <= LEVEL


def winner(found: Comparison, p: float, first: str, second: str) -> str:
    """What a comparison decides for.

    Args:
        found: The comparison, first minus second.
        p: Its p-value, adjusted for all differences that are looked at.
        first: What it decides for where the first is larger.
        second: What it decides for where the second is.

    Returns:
        One of both words, or ``undecided``.
    """
    if not decided(p, found.num):
        return "undecided"
    return first if found.difference > 0.0 else second


def _interval(
    values: NDArray[np.float64], bounds: Bounds, num_draws: int, seed: int
) -> tuple[float, float]:
    if values.size == 1:
        return np.nan, np.nan
    if np.ptp(values) == 0.0:
        return _interval_of_equals(float(values[0]), values.size, bounds)
    if values.size >= _ENOUGH:
        return bca_interval(values, num_draws, seed)
    mean, error = float(values.mean()), values.std(ddof=1) / np.sqrt(values.size)
    reach = float(stdtrit(values.size - 1, 0.5 + (1.0 - LEVEL) / 2.0) * error)
    return max(bounds[0], mean - reach), min(bounds[1], mean + reach)


def _interval_of_equals(value: float, num: int, bounds: Bounds) -> tuple[float, float]:
    if not np.isfinite(bounds).all():
        return value, value
    others = 1.0 - (LEVEL / 2.0) ** (1.0 / num)
    return value - others * (value - bounds[0]), value + others * (bounds[1] - value)


def bca_interval(
    values: NDArray[np.float64], num_draws: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """The bias-corrected and accelerated bootstrap interval of a mean (Efron, 1987), 95%.

    Args:
        values: Independent values, not all the same.
        num_draws: Resamples.
        seed: Draws them.

    Returns:
        Its lower and its upper end.
    """
    rng = np.random.default_rng(seed)
    means = values[rng.integers(values.size, size=(num_draws, values.size))].mean(axis=1)
    below = (means < values.mean()).mean() + (means == values.mean()).mean() / 2.0
    bias = ndtri(below)
    without = (values.sum() - values) / (values.size - 1)  # the jackknife's means
    skew = without.mean() - without
    acceleration = (skew**3).sum() / (6.0 * (skew**2).sum() ** 1.5)
    ends = bias + ndtri([LEVEL / 2.0, 1.0 - LEVEL / 2.0])
    low, high = np.quantile(means, ndtr(bias + ends / (1.0 - acceleration * ends)))
    return float(low), float(high)
