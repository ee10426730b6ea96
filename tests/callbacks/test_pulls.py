"""What is said of the two pulls when warm-up ends."""

import pytest

from redream.callbacks.pulls import USUAL, PullRatio


def test_the_line_names_the_sigma_that_would_balance_as_where_it_was_tuned():
    callback = PullRatio()
    callback.ratios = [4.0 * USUAL, 4.0 * USUAL, 100.0 * USUAL]
    said = callback.verdict(0.45)
    assert f"{4.0 * USUAL:.3g} times as hard" in said and "sigma 0.9 " in said  # 4 = 2 squared
    assert "\n" not in said


def test_a_prior_that_does_not_pull_is_no_ratio():
    callback = PullRatio()
    callback.ratios = [float("inf")]
    assert "did not pull" in callback.verdict(0.45)
    with pytest.raises(ValueError, match="positive"):
        PullRatio(every_n_steps=0)
