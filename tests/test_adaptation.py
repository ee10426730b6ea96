from types import SimpleNamespace

import pytest
import torch

from redream.adaptation import Adaptation, adapt, draw_noise, random_backgrounds
from redream.adapters import LightAdapter
from redream.cameras import turntable
from redream.priors import GaussianPrior
from redream.types import References


def test_random_backgrounds_are_keyed_by_the_generator():
    a, b, c = (random_backgrounds(3, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert a.shape == (3, 3, 1, 1)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_an_adapter_that_would_never_stop_is_refused():
    endless = SimpleNamespace(adapter=LightAdapter(max_steps=None, patience=None))
    with pytest.raises(ValueError, match="would never stop"):
        adapt(endless)


def adaptation(**arguments):
    views = turntable(12)
    references = References(
        torch.rand(12, 4, 8, 8), views, ("a box",), torch.zeros(12, dtype=torch.long)
    )
    return Adaptation(GaussianPrior(), LightAdapter(**arguments), references)


def test_the_weight_is_one_for_a_prior_that_predicts_the_noise():
    timesteps = torch.tensor([0, 500, 999])
    assert torch.equal(adaptation().weight(timesteps), torch.ones(3, 1, 1, 1))


def test_the_emphasis_makes_the_error_of_the_noise_one_of_the_clean_picture():
    made = adaptation(lowest_time=0.4, max_emphasis=30.0)
    times = torch.arange(400, 1000)
    weight = made.weight(times).flatten()
    assert weight.mean().item() == pytest.approx(1.0, abs=1e-5)
    alpha, sigma = (each.flatten() for each in made.prior.signal_and_noise(times))
    ratio = (sigma / alpha).square()
    below = ratio < 30.0
    scale = weight[below] / ratio[below]
    assert below.sum() > 300 and torch.allclose(scale, scale[:1].expand_as(scale), rtol=1e-4)
    assert torch.unique(weight[~below]).numel() == 1


def test_times_below_the_lowest_are_left_out():
    clean, generator = torch.zeros(4000, 1, 1, 1), torch.Generator().manual_seed(0)
    times, _ = draw_noise(clean, 1000, generator, first=400)
    assert times.min() >= 400 and times.max() > 980


@pytest.mark.parametrize("arguments", [{"lowest_time": 1.0}, {"max_emphasis": -1.0}])
def test_what_no_adapter_can_do_is_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        LightAdapter(**arguments)
