import math

import pytest
import torch

from redream.representations.regularizers import opacity_entropy, orientation, sparsity, spread


def test_sparsity_is_lowest_for_empty_rays():
    assert sparsity(torch.zeros(4)).item() == pytest.approx(0.1)
    assert sparsity(torch.ones(4)).item() == pytest.approx(math.sqrt(1.01))


def test_opacity_entropy_is_highest_at_one_half_and_finite_at_the_ends():
    opacity = torch.tensor([0.0, 0.5, 1.0], requires_grad=True)
    values = torch.stack([opacity_entropy(o) for o in opacity])
    assert values[1].item() == pytest.approx(math.log(2))
    assert (values[[0, 2]] < 0.01).all()
    values.sum().backward()
    assert opacity.grad.isfinite().all()
    low = torch.tensor(0.3, requires_grad=True)
    opacity_entropy(low).backward()
    assert low.grad > 0  # descent empties a ray that is mostly empty


def test_orientation_counts_only_normals_that_face_away():
    directions = torch.tensor([[0.0, 0.0, -1.0]] * 3)
    normals = torch.tensor([[0.0, 0, 1], [0, 0, -1], [0, 0.6, -0.8]])
    weights = torch.tensor([1.0, 1.0, 2.0], requires_grad=True)
    value = orientation(normals, directions, weights)
    assert value.item() == pytest.approx((1 + 2 * 0.64) / 4)
    assert not value.requires_grad
    assert orientation(normals, directions, torch.zeros(3)).item() == 0.0


def test_spread_is_the_weighted_variance_of_depth():
    weights = torch.tensor([[0.2, 0.5, 0.1], [0.0, 0.7, 0.0], [0.0, 0.0, 0.0]])
    t = torch.tensor([1.0, 2.0, 4.0])
    opacity, mean, square = weights.sum(1), (weights * t).sum(1), (weights * t**2).sum(1)
    centre = mean[0] / opacity[0]
    variance = (weights[0] * (t - centre) ** 2).sum()
    assert spread(opacity, mean, square).item() == pytest.approx(variance.item() / 3, rel=1e-4)
