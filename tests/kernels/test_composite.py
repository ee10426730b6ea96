import math

import pytest
import torch

from redream.kernels.composite import composite, composite_reference, transmittance
from redream.kernels.march import Samples

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def random_samples(counts=(7, 0, 1, 30, 0, 12), step=0.1):
    generator = torch.Generator().manual_seed(0)
    counts = torch.tensor(counts)
    num = int(counts.sum())
    offsets = torch.cat([torch.zeros(1), counts.cumsum(0)]).int()
    ray_index = torch.repeat_interleave(torch.arange(len(counts)), counts).int()
    t_start = 2.0 + step * (torch.arange(num) - offsets[ray_index.long()])
    samples = Samples(torch.zeros(num, 3), t_start, t_start + step, ray_index, offsets)
    density = 3.0 * torch.rand(num, generator=generator)
    density[-5:] = 200.0  # the last ray ends early
    features = torch.randn(num, 5, generator=generator)
    return density, features, samples


def to(samples, *arguments):
    return Samples(*(x.to(*arguments) if x.is_floating_point() else x for x in samples))


@pytest.mark.parametrize("device", DEVICES)
def test_values_and_gradients_equal_the_double_precision_reference(device):
    density, features, samples = random_samples()
    density, features = density.to(device).requires_grad_(), features.to(device).requires_grad_()
    samples = Samples(*(x.to(device) for x in samples))
    seen = composite(density, features, samples)
    generator = torch.Generator().manual_seed(1)
    cotangents = [torch.randn(x.shape, generator=generator).to(device) for x in seen]
    torch.autograd.backward(seen, cotangents)

    density64 = density.detach().double().requires_grad_()
    features64 = features.detach().double().requires_grad_()
    expected = composite_reference(density64, features64, to(samples, torch.float64))
    torch.autograd.backward(expected, [x.double() for x in cotangents])
    for got, wanted in zip(seen, expected, strict=True):
        torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(density.grad.double(), density64.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features.grad.double(), features64.grad, rtol=1e-4, atol=1e-5)


def test_reference_gradients_equal_finite_differences():
    density, features, samples = random_samples((3, 0, 4))
    density = torch.linspace(0.1, 2.0, 7, dtype=torch.float64).requires_grad_()
    features = features.double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda d, f: composite_reference(d, f, to(samples, torch.float64)), (density, features)
    )


def test_a_slab_of_constant_density_follows_beer_and_lambert():
    _, _, samples = random_samples((40,))
    density = torch.full((40,), 0.7)
    seen = composite(density, torch.full((40, 2), 0.25), samples)
    absorbed = 1.0 - math.exp(-0.7 * 4.0)
    torch.testing.assert_close(seen.opacity, torch.tensor([absorbed]))
    torch.testing.assert_close(seen.features, torch.full((1, 2), 0.25 * absorbed))
    torch.testing.assert_close(seen.weights.sum(), torch.tensor(absorbed))


def test_matter_behind_an_opaque_sample_has_no_weight_and_no_gradient():
    _, features, samples = random_samples((10,))
    density = torch.full((10,), 1.0)
    density[3] = 1e4
    density.requires_grad_()
    features.requires_grad_()
    seen = composite(density, features, samples)
    (seen.features.sum() + seen.depth.sum()).backward()
    assert (seen.weights[4:] == 0).all()
    assert (density.grad[4:] == 0).all()
    assert (features.grad[4:] == 0).all()
    torch.testing.assert_close(seen.opacity, torch.ones(1))
    left = transmittance(density, samples.t_start, samples.t_end, samples.offsets)
    torch.testing.assert_close(left[:4], torch.exp(-0.1 * torch.arange(4.0)))
    assert (left[4:] == 0).all()


def test_rays_without_samples_see_nothing():
    density, features, samples = random_samples()
    seen = composite(density, features, samples)
    assert (seen.features[[1, 4]] == 0).all()
    assert (seen.opacity[[1, 4]] == 0).all()
    density, features, samples = random_samples((0, 0))
    density, features = density[:0].requires_grad_(), features[:0].requires_grad_()
    seen = composite(density, features, samples)
    seen.features.sum().backward()
    assert seen.features.shape == (2, 5)
    assert seen.opacity.tolist() == [0.0, 0.0]


def test_no_channels_are_allowed():
    density, features, samples = random_samples()
    density.requires_grad_()
    seen = composite(density, features[:, :0], samples)
    seen.opacity.sum().backward()
    assert seen.features.shape == (6, 0)
    assert (density.grad[:7] > 0).all()
