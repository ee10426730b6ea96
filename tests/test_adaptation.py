from types import SimpleNamespace

import pytest
import torch

from redream.adaptation import adapt, random_backgrounds
from redream.adapters import LightAdapter


def test_random_backgrounds_are_keyed_by_the_generator():
    a, b, c = (random_backgrounds(3, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert a.shape == (3, 3, 1, 1)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_an_adapter_that_would_never_stop_is_refused():
    endless = SimpleNamespace(adapter=LightAdapter(max_steps=None, patience=None))
    with pytest.raises(ValueError, match="would never stop"):
        adapt(endless)
