import pytest

from redream.metrics import orientation_success, wilson_interval


def test_success_counts_within_45_degrees_round_the_circle():
    rate = orientation_success([0.0, 350.0, 45.0, 46.0, -170.0], [0.0, 10.0, 0.0, 0.0, 170.0])
    assert (rate.num_successes, rate.num_assets, rate.rate) == (4, 5, 0.8)
    assert 0 < rate.low < 0.8 < rate.high < 1


def test_failures_lie_sideways_or_back_to_front():
    estimates = [0.0, -45.0, 46.0, 134.0, -134.0, 135.0, 180.0, -135.0]
    rate = orientation_success([each + 300.0 for each in estimates], [-60.0] * 8)
    assert (rate.num_successes, rate.num_sideways, rate.num_reversed) == (2, 3, 3)


def test_wilson_interval_matches_published_values():
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=2e-4)  # Newcombe 1998
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=2e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=2e-4)
    with pytest.raises(ValueError, match="at least one"):
        wilson_interval(0, 0)
