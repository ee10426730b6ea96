"""Intervals that cover as often as they say, and paired tests against scipy's."""

import numpy as np
import pytest
from scipy import stats

from redream.metrics.statistics import (
    SHARE,
    Comparison,
    bca_interval,
    cluster_means,
    compare_paired,
    decided,
    estimate,
    holm,
    sign_flip_p,
    winner,
)


@pytest.mark.parametrize(("num", "draw"), [(24, "exponential"), (4, "normal"), (8, "normal")])
def test_the_interval_covers_the_truth_as_often_as_it_says(num, draw):
    rng = np.random.default_rng(num)
    hits = 0
    for trial in range(200):
        values = getattr(rng, draw)(size=num) + (draw == "normal")
        found = estimate(values.tolist(), num_draws=500, seed=trial)
        assert found.low <= found.mean <= found.high and found.num == num
        hits += found.low <= 1.0 <= found.high
    # Skewed values are covered a little less; percentile intervals of 4 cover 80% of normal ones.
    assert 0.95 - 3 * 0.016 - (draw != "normal") * 0.03 <= hits / 200 <= 0.99


@pytest.mark.parametrize("num", [8, 14])
@pytest.mark.parametrize("share", [0.05, 0.9])
def test_the_interval_of_a_share_near_its_bound_covers_it_and_goes_no_farther(num, share):
    """Where all prompts agree a spread says nothing; they do in half of what is drawn here."""
    rng = np.random.default_rng(num)
    hits = 0
    for trial in range(200):
        values = (rng.random(num) < share).astype(float)
        found = estimate(values.tolist(), SHARE, num_draws=500, seed=trial)
        assert 0.0 <= found.low <= found.mean <= found.high <= 1.0
        hits += found.low <= share <= found.high
    assert hits / 200 >= 0.95 - 3 * 0.016


def test_where_all_agree_the_interval_is_exact_for_zeros_and_ones():
    """Clopper and Pearson's: what a binomial leaves open."""
    for num, value in ((5, 0.0), (14, 0.0), (14, 1.0)):
        found = estimate([value] * num, SHARE)
        exact = stats.binomtest(int(num * value), num).proportion_ci(0.95, "exact")
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    none = compare_paired(dict.fromkeys("abcdef", 0.5), dict.fromkeys("abcdef", 0.5), SHARE)
    assert none.low == pytest.approx(-none.high) and none.high == pytest.approx(
        1 - 0.025 ** (1 / 6)
    )
    unknown = estimate([0.25] * 6, (0.0, np.inf))
    assert (unknown.low, unknown.high) == (0.25, 0.25)


def test_a_value_out_of_its_bounds_is_refused_and_rounding_is_not():
    estimate([0.5, 1.0 + 1e-7], SHARE)
    with pytest.raises(ValueError, match="within"):
        estimate([0.5, 1.1], SHARE)


@pytest.mark.parametrize("skewed", [False, True])
def test_the_interval_of_many_is_scipys_bca_and_of_few_students(skewed):
    values = np.random.default_rng(1).normal(3.0, 1.0, 30)
    values = np.exp(values) if skewed else values
    ours = estimate(values.tolist())
    theirs = stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=10_000, rng=0
    ).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    reach = ours.high - ours.low
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03 * reach)
    few = values[:7]
    ours = estimate(few.tolist())
    theirs = stats.t.interval(0.95, 6, few.mean(), stats.sem(few))
    assert (ours.low, ours.high) == pytest.approx(theirs)


def test_the_correction_is_scipys_on_the_very_same_resamples():
    values = np.random.default_rng(2).exponential(1.0, 15)

    theirs = stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=2000, rng=np.random.default_rng(0)
    )
    ours = bca_interval(values, 2000, 0)
    reach = ours[1] - ours[0]
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.02 * reach)


def test_one_value_has_no_interval_and_equal_values_none_to_speak_of():
    alone = estimate([0.3])
    assert alone.mean == 0.3 and np.isnan(alone.low) and np.isnan(alone.high)
    for num in (3, 20):
        same = estimate([0.25] * num)
        assert (same.low, same.high) == (0.25, 0.25)


def test_fewer_than_six_decide_nothing():
    assert decided(0.04, 6) and not decided(0.04, 5) and not decided(0.06, 24)
    assert 2 / 2**5 > 0.05 >= 2 / 2**6  # the smallest p there is


@pytest.mark.parametrize(
    ("difference", "p", "num", "word"),
    [
        (0.1, 0.04, 6, "this"),
        (-0.1, 0.04, 6, "that"),
        (0.1, 0.06, 6, "undecided"),
        (-0.1, 0.04, 5, "undecided"),
    ],
)
def test_a_comparison_decides_for_the_larger_side_or_for_none(difference, p, num, word):
    assert winner(Comparison(difference, -1.0, 1.0, 0.01, num), p, "this", "that") == word


def test_seeds_of_a_prompt_are_no_independent_evidence():
    values = {("dog", 0): 1.0, ("dog", 1): 3.0, ("cat", 0): 5.0}
    assert cluster_means(values) == {"dog": 2.0, "cat": 5.0}
    doubled = {(prompt, seed): v for (prompt, _), v in values.items() for seed in range(50)}
    assert estimate(list(cluster_means(doubled).values())).num == 2
    with pytest.raises(ValueError, match="nothing"):
        estimate([])


@pytest.mark.parametrize("num", [5, 12])
def test_the_sign_flip_test_is_scipys_permutation_test(num):
    differences = np.random.default_rng(num).normal(0.5, 1.0, num)
    theirs = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p(differences, 0) == pytest.approx(theirs.pvalue)


def test_drawn_signs_come_near_to_all_signs():
    differences = np.random.default_rng(3).normal(0.35, 1.0, 24)
    drawn = sign_flip_p(differences, 20_000)
    assert drawn == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.02)
    assert sign_flip_p(np.ones(24), 1_000) == pytest.approx(1 / 1_001)  # never 0
    assert sign_flip_p(np.zeros(24), 1_000) == 1.0


def test_equal_methods_are_rarely_told_apart():
    rng = np.random.default_rng(4)
    p = [sign_flip_p(rng.normal(size=10), 0) for _ in range(200)]
    assert 0.01 <= np.mean(np.array(p) < 0.05) <= 0.10


def test_pairing_sees_through_what_prompts_have_in_common():
    rng = np.random.default_rng(5)
    prompts = [f"prompt {i}" for i in range(24)]
    difficulty = dict(zip(prompts, rng.normal(0, 1.0, 24), strict=True))
    first = {p: difficulty[p] + 0.1 + rng.normal(0, 0.05) for p in prompts}
    second = {p: difficulty[p] for p in reversed(prompts)}
    found = compare_paired(first, second)
    assert found.difference == pytest.approx(0.1, abs=0.03) and found.num == 24
    assert 0 < found.low < found.difference < found.high and found.p < 0.01
    alone = estimate(list(first.values()))
    assert alone.high - alone.low > 5 * (found.high - found.low)


def test_only_what_both_have_done_is_compared():
    found = compare_paired({"a": 1.0, "b": 2.0, "c": 9.0}, {"b": 1.0, "a": 0.0, "d": 7.0})
    assert found.difference == 1.0 and found.num == 2
    with pytest.raises(ValueError, match="nothing in common"):
        compare_paired({"a": 1.0}, {"b": 1.0})


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.5]) == [1.0, 1.0] and holm([]) == []
