import pytest
import torch
from torch import nn

from redream.kernels.perceptron import perceptron
from redream.representations.mlp import mlp


def values_and_gradients(module, inputs, cotangent):
    inputs = inputs.clone().requires_grad_()
    module.zero_grad()
    outputs = module(inputs)
    outputs.backward(cotangent)
    return [outputs.detach(), inputs.grad, *(each.grad.clone() for each in module.parameters())]


@pytest.mark.parametrize(
    ("num", "num_inputs", "hidden", "num_outputs"),
    [(1, 1, 1, 1), (3, 10, 8, 1), (7, 16, 32, 3), (4097, 9, 33, 2), (9000, 35, 64, 4)],
)
def test_values_and_gradients_equal_the_double_precision_reference(
    num, num_inputs, hidden, num_outputs
):
    generator = torch.Generator().manual_seed(num)
    module = mlp(num_inputs, hidden, num_outputs, generator)
    for bias in (module[0].bias, module[2].bias):
        bias.data = torch.randn(len(bias), generator=generator)
    inputs = torch.randn(num, num_inputs, generator=generator)
    # Where a hidden unit is all but 0 the two precisions may differ in its sign.
    inputs = inputs[(module[0](inputs).abs() > 1e-4).all(1)]
    cotangent = torch.randn(len(inputs), num_outputs, generator=generator)
    found = values_and_gradients(module, inputs, cotangent)
    expected = values_and_gradients(module.double(), inputs.double(), cotangent.double())
    for mine, reference in zip(found, expected, strict=True):
        assert mine.dtype == torch.float32
        scale = reference.abs().max().clamp_min(1.0)
        assert (mine - reference).abs().max() <= 3e-6 * scale


def test_strided_and_empty_inputs_and_those_without_gradients():
    module = mlp(6, 8, 3, torch.Generator().manual_seed(0))
    inputs = torch.randn(5, 12, generator=torch.Generator().manual_seed(1))[:, ::2]
    torch.testing.assert_close(module(inputs), module(inputs.contiguous()), rtol=0, atol=0)
    image = inputs[:4].view(2, 2, 6)
    assert torch.equal(module(image), module(inputs[:4]).view(2, 2, 3))
    outputs = module(inputs)
    outputs.backward(torch.ones(1, 3).expand(5, 3))
    weight = module[0].weight.grad.clone()
    module.zero_grad()
    module(inputs.clone().requires_grad_()).backward(torch.ones(5, 3))
    assert torch.equal(module[0].weight.grad, weight)
    empty = module(inputs[:0].clone().requires_grad_())
    module.zero_grad()
    empty.sum().backward()
    assert empty.shape == (0, 3)
    assert all(each.grad.abs().sum() == 0 for each in module.parameters())


def test_what_is_not_a_number_stays_visible():
    module = mlp(4, 8, 1, torch.Generator().manual_seed(0))
    inputs = torch.ones(3, 4)
    inputs[1, 2] = torch.nan
    outputs = perceptron(inputs, *module.parameters())
    assert outputs.isnan().flatten().tolist() == [False, True, False]
    assert nn.Sequential.forward(module, inputs).isnan().flatten().tolist() == [False, True, False]


def test_other_precisions_are_pytorchs():
    module = mlp(4, 8, 2, torch.Generator().manual_seed(0))
    inputs = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert module(inputs).dtype == torch.bfloat16
    double = module.double()(inputs.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double, nn.Sequential.forward(module, inputs.double()))
