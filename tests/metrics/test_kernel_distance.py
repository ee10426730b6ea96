"""The kernel distance against its definition, and its interval against how it scatters."""

import itertools

import pytest
import torch

from redream.metrics.kernel_distance import kernel_distance


def units(num, seed, shift=0.0, dim=8):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(num, dim, generator=generator)
    vectors[:, 0] += shift
    return torch.nn.functional.normalize(vectors, dim=1)


def by_definition(x, y):
    def mean(pairs):
        values = [(1.0 + float(a.double() @ b.double())) ** 3 for a, b in pairs]
        return sum(values) / len(values)

    return (
        mean(itertools.permutations(x, 2))
        + mean(itertools.permutations(y, 2))
        - 2.0 * mean(itertools.product(x, y))
    )


def test_it_is_the_unbiased_estimate_and_its_jackknife():
    x, y = units(7, 0), units(5, 1, shift=1.0)
    measured = kernel_distance(x, y)
    value = by_definition(x, y)
    assert measured.value == pytest.approx(value, rel=1e-9)
    variance = 0.0
    for lacking in (
        [by_definition(torch.cat([x[:i], x[i + 1 :]]), y) for i in range(7)],
        [by_definition(x, torch.cat([y[:i], y[i + 1 :]])) for i in range(5)],
    ):
        values = torch.tensor(lacking, dtype=torch.float64)
        factor = (len(lacking) - 1) / len(lacking)
        variance += factor * float((values - values.mean()).square().sum())
    assert measured.high - measured.value == pytest.approx(1.959964 * variance**0.5, rel=1e-6)
    assert measured.value - measured.low == pytest.approx(1.959964 * variance**0.5, rel=1e-6)


def test_it_grows_with_the_distance_and_does_not_mind_the_order():
    reference = units(150, 1)
    values = [kernel_distance(units(100, 0, shift), reference).value for shift in (0.3, 0.8, 2.0)]
    assert 0 < values[0] < values[1] < values[2]
    x = units(100, 0, 0.8)
    assert kernel_distance(x.flip(0), reference).value == pytest.approx(values[1], rel=1e-9)
    assert kernel_distance(reference, x).value == pytest.approx(values[1], rel=1e-9)


def test_the_estimate_is_unbiased_and_the_interval_covers():
    far = kernel_distance(units(4000, 7, 0.8), units(4000, 8)).value
    measured = [kernel_distance(units(60, 2 * i, 0.8), units(80, 2 * i + 1)) for i in range(200)]
    mean = sum(each.value for each in measured) / len(measured)
    assert mean == pytest.approx(far, rel=0.06)
    covered = sum(each.low <= far <= each.high for each in measured) / len(measured)
    assert covered > 0.88
    same = [kernel_distance(units(60, 900 + i), units(80, 1900 + i)).value for i in range(100)]
    assert 25 < sum(value < 0 for value in same) < 85  # not bounded by 0: it is unbiased


def test_two_vectors_have_no_interval():
    with pytest.raises(ValueError, match="three vectors"):
        kernel_distance(units(2, 0), units(9, 1))
