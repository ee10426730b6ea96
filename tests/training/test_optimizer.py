"""What the optimiser forgets."""

import torch

from redream.representations import MCMC, Splats
from redream.training.optimizer import forget_replaced, make_optimizer


def test_moments_of_moved_splats_are_cleared_and_the_others_stay():
    splats = Splats(num_splats=40, strategy=MCMC(period=1, begin=1, noise=0.0)).train()
    optimizer, _ = make_optimizer([splats], [], lambda step: 1.0)
    for parameter in splats.splats.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    splats.splats.logits.data[:10] = -9.0
    splats.update(1)
    moved = splats.take_replaced()[0][1]
    splats._replaced = moved
    forget_replaced(optimizer, [splats])
    for name in ("means", "logits"):
        state = optimizer.state[getattr(splats.splats, name)]
        is_moved = torch.zeros(40, dtype=torch.bool).index_fill(0, moved, True)
        for moment in (state["exp_avg"], state["exp_avg_sq"]):
            assert (moment[is_moved] == 0.0).all()
            assert (moment[~is_moved] != 0.0).all()
    assert 10 <= int(is_moved.sum()) < 40
