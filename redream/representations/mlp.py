"""The small perceptron of the fields: one hidden layer, initialised from a given generator."""

import torch
from torch import nn


def mlp(
    num_inputs: int, hidden: int, num_outputs: int, generator: torch.Generator | None = None
) -> nn.Sequential:
    """Makes a perceptron with one ReLU layer (He et al., 2015, initialisation; zero biases).

    Args:
        num_inputs: Input channels.
        hidden: Width of the hidden layer.
        num_outputs: Output channels.
        generator: Source of the initial weights; PyTorch's global one if None.

    Returns:
        The perceptron.
    """
    layers = []
    for inputs, outputs in ((num_inputs, hidden), (hidden, num_outputs)):
        layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(layer.bias)
        layers.append(layer)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1])
