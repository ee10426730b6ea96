import torch

from redream.adaptation import random_backgrounds


def test_random_backgrounds_are_keyed_by_the_generator():
    a, b, c = (random_backgrounds(3, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert a.shape == (3, 3, 1, 1)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
