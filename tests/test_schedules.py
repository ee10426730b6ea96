import pytest
import torch

from redream.priors import GaussianPrior
from redream.schedules import Ramp, TimestepRange, is_due, score_weight


def test_ramp_is_linear_between_its_steps():
    ramp = Ramp(1.0, 0.0, begin_step=10, end_step=20)
    assert [ramp.at(step) for step in (0, 10, 15, 20, 99)] == [1.0, 1.0, 0.5, 0.0, 0.0]


def test_ramp_without_width_switches():
    ramp = Ramp(0.98, 0.5, begin_step=5, end_step=5)
    assert [ramp.at(step) for step in (4, 5)] == [0.98, 0.5]


def test_what_is_done_once_in_a_while_is_done_at_every_multiple_and_at_first():
    assert [step for step in range(13) if is_due(step, 5)] == [0, 5, 10]
    for turn in range(3):  # every third step, whichever: as often, a step or two later
        steps = range(turn, 16, 3)
        found = [step for step in steps if is_due(step, 5, 3)]
        assert found[0] == turn and len(found) == 1 + steps[-1] // 5
        assert all(step % 5 < 3 for step in found)


def test_backward_ramp_is_refused():
    with pytest.raises(ValueError, match="begin_step <= end_step"):
        Ramp(1.0, 0.0, begin_step=3, end_step=2)


def test_timesteps_fill_the_annealed_range():
    times = TimestepRange(high=Ramp(0.98, 0.5, begin_step=100, end_step=100))
    assert times.bounds(0, 1000) == (20, 980)
    assert times.bounds(100, 1000) == (20, 500)
    generator = torch.Generator().manual_seed(0)
    drawn = times.sample(20_000, 100, 1000, generator)
    assert (drawn.min().item(), drawn.max().item()) == (20, 500)
    assert abs(drawn.float().mean().item() - 260) < 5


def test_whole_range_stays_within_the_schedule():
    assert TimestepRange(Ramp(0.0, 0.0), Ramp(1.0, 1.0)).bounds(0, 1000) == (0, 999)


def test_impossible_ranges_are_refused():
    with pytest.raises(ValueError, match="within 0 and 1"):
        TimestepRange(high=Ramp(1.2, 0.5))
    with pytest.raises(ValueError, match="empty at step 0"):
        TimestepRange(Ramp(0.9, 0.9), Ramp(0.5, 0.5))


@pytest.mark.parametrize(
    ("low", "high", "step"),
    [
        (Ramp(0.02, 0.5, 0, 10_000), Ramp(0.98, 0.3, 0, 10_000), 9999),  # long before, at the end
        (Ramp(0.02, 0.5, 0, 100), Ramp(0.98, 0.3, 200, 300), 299),
        (Ramp(0.6, 0.02, 50, 50), Ramp(0.98, 0.5, 10, 20), 19),  # until the switch
        (Ramp(0.02, 0.6, 50, 50), Ramp(0.5, 0.98, 60, 60), 50),
    ],
)
def test_ends_that_cross_later_are_refused_at_once(low, high, step):
    with pytest.raises(ValueError, match=f"empty at step {step}, where it ends before it begins"):
        TimestepRange(low, high)
    assert low.at(step) > high.at(step)


def test_ends_that_meet_are_a_range():
    times = TimestepRange(Ramp(0.98, 0.02, 0, 400), Ramp(0.98, 0.5, 0, 400))
    assert times.bounds(0, 1000) == (980, 980)


def test_weights_against_the_noise_schedule():
    prior = GaussianPrior(double=True)
    timesteps = torch.tensor([0, 500, 999])
    alpha, sigma = prior.signal_and_noise(timesteps)

    def weight(name):
        return score_weight(name, alpha, sigma)

    torch.testing.assert_close(weight("sigma_squared"), sigma.square())
    torch.testing.assert_close(weight("fantasia3d"), alpha * sigma.square())
    assert torch.equal(weight("uniform"), torch.ones(3, 1, 1, 1, dtype=torch.float64))
    with pytest.raises(ValueError, match="choose sigma_squared"):
        weight("snr")
