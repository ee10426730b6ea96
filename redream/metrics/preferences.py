"""What people prefer: shares with intervals over raters and prompts; Bradley-Terry strengths."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from redream.metrics.success import wilson_interval

_VIRTUAL = 0.5  # wins that each side of each pair of methods is given, so that strengths are finite


@dataclass(frozen=True)
class Answer:
    """One answer to "which of these two?".

    Attributes:
        rater: Who answered.
        prompt: What both objects should be.
        winner: The method whose object was chosen.
        loser: The other one.
        chose_left: Whether the chosen one was on the left.
        again: Whether the pair was shown to this rater before, with its sides swapped.
        pair: Names the pair.
    """

    rater: str
    prompt: str
    winner: str
    loser: str
    chose_left: bool
    again: bool = False
    pair: str = ""


@dataclass(frozen=True)
class Preference:
    """How often one method was preferred to another.

    Attributes:
        method: The method.
        other: The method that it was compared with.
        num_wins: Answers that preferred it.
        num_answers: Answers to pairs of these two.
        share: Their ratio.
        naive: 95% Wilson interval, as if answers were independent.
        clustered: 95% bootstrap interval that resamples raters and prompts.
    """

    method: str
    other: str
    num_wins: int
    num_answers: int
    share: float
    naive: tuple[float, float]
    clustered: tuple[float, float]


@dataclass(frozen=True)
class Strength:
    """A method's place on Bradley and Terry's (1952) scale.

    Attributes:
        method: The method.
        strength: Log-strength; over all methods the mean is 0. A method beats another with
            probability 1 / (1 + exp(other - its)).
        low: Lower end of the 95% interval over raters and prompts.
        high: Upper end.
    """

    method: str
    strength: float
    low: float
    high: float


def preferences(
    answers: Sequence[Answer], num_draws: int = 2000, seed: int = 0
) -> list[Preference]:
    """Compares every two methods that were shown side by side."""
    first = [answer for answer in answers if not answer.again]
    found = []
    for method, other in combinations(_methods(first), 2):
        mine = [answer for answer in first if {answer.winner, answer.loser} == {method, other}]
        if not mine:
            continue
        wins = np.array([answer.winner == method for answer in mine], dtype=np.float64)
        shares = [
            weights @ wins / weights.sum()
            for weights in cluster_weights(mine, num_draws, seed)
            if weights.sum() > 0
        ]
        low, high = np.quantile(shares, [0.025, 0.975])
        num_wins = int(wins.sum())
        found.append(
            Preference(
                method,
                other,
                num_wins,
                len(mine),
                num_wins / len(mine),
                wilson_interval(num_wins, len(mine)),
                (float(low), float(high)),
            )
        )
    return found


def strengths(answers: Sequence[Answer], num_draws: int = 500, seed: int = 0) -> list[Strength]:
    """Puts all methods on one scale, best first."""
    first = [answer for answer in answers if not answer.again]
    methods = _methods(first)
    if len(methods) < 2:
        return []
    rows = np.array([methods.index(answer.winner) for answer in first])
    columns = np.array([methods.index(answer.loser) for answer in first])

    def fit(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        wins = np.zeros((len(methods), len(methods)))
        np.add.at(wins, (rows, columns), weights)
        return bradley_terry(wins)

    best = fit(np.ones(len(first)))
    drawn = np.stack([fit(weights) for weights in cluster_weights(first, num_draws, seed)])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    found = [
        Strength(method, float(best[i]), float(low[i]), float(high[i]))
        for i, method in enumerate(methods)
    ]
    return sorted(found, key=lambda each: -each.strength)


def bradley_terry(wins: NDArray[np.float64], num_steps: int = 1000) -> NDArray[np.float64]:
    """Fits log-strengths by Hunter's (2004) MM algorithm.

    Half a win is added to both sides of every pair of methods that met.

    Args:
        wins: ``M M``, how often the row's method beat the column's.
        num_steps: Most iterations.

    Returns:
        Log-strengths with mean 0.
    """
    met = (wins + wins.T) > 0
    counts = wins + _VIRTUAL * met
    games, total = counts + counts.T, counts.sum(axis=1)
    strength = np.ones(len(wins))
    for _ in range(num_steps):
        pairs = games / (strength[:, None] + strength[None, :])
        new = np.where(total > 0, total / np.maximum(pairs.sum(axis=1), 1e-12), strength)
        new /= np.exp(np.log(new).mean())
        done = np.abs(np.log(new / strength)).max() < 1e-10
        strength = new
        if done:
            break
    fitted: NDArray[np.float64] = np.log(strength)
    return fitted


def cluster_weights(
    answers: Sequence[Answer], num_draws: int, seed: int
) -> list[NDArray[np.float64]]:
    """How often each answer counts in resamples of raters and of prompts (Owen, 2007)."""
    rng = np.random.default_rng(seed)
    groups = []
    for names in ([a.rater for a in answers], [a.prompt for a in answers]):
        known = sorted(set(names))
        place = {name: i for i, name in enumerate(known)}
        groups.append((len(known), np.array([place[name] for name in names])))
    drawn = []
    for _ in range(num_draws):
        weights = np.ones(len(answers))
        for num, index in groups:
            times = np.bincount(rng.integers(num, size=num), minlength=num)
            weights = weights * times[index]
        drawn.append(weights)
    return drawn


def left_share(answers: Sequence[Answer]) -> tuple[float, float, float]:
    """How often the left one was chosen, with its Wilson interval: a half, where sides are fair."""
    num_left = sum(answer.chose_left for answer in answers)
    return num_left / len(answers), *wilson_interval(num_left, len(answers))


def consistency(answers: Sequence[Answer]) -> tuple[int, int]:
    """How many repeated pairs were answered as before, and how many were repeated."""
    before = {(a.rater, a.pair): a.winner for a in answers if not a.again}
    again = [a for a in answers if a.again and (a.rater, a.pair) in before]
    return sum(before[a.rater, a.pair] == a.winner for a in again), len(again)


def _methods(answers: Sequence[Answer]) -> list[str]:
    return sorted({name for answer in answers for name in (answer.winner, answer.loser)})
