"""The small perceptron of the fields: one hidden layer, initialised from a given generator."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from redream.kernels.perceptron import perceptron


class Perceptron(nn.Sequential):
    """Two linear layers with a ReLU between; on a CPU one kernel in place of PyTorch's three."""

    def forward(self, inputs: Float[Tensor, "*N F"]) -> Float[Tensor, "*N O"]:
        """The outputs of each row."""
        if is_fused(inputs):
            rows = inputs.reshape(-1, inputs.shape[-1])
            found = perceptron(rows, *self.parameters())
            return found.view(*inputs.shape[:-1], found.shape[-1])
        outputs: Tensor = super().forward(inputs)  # type: ignore[no-untyped-call]
        return outputs


def is_fused(inputs: Tensor) -> bool:
    """Whether rows go through the kernel: float32 on a CPU, outside autocast."""
    is_plain = inputs.dtype == torch.float32 and inputs.device.type == "cpu"
    return is_plain and not torch.is_autocast_enabled("cpu")


def mlp(
    num_inputs: int, hidden: int, num_outputs: int, generator: torch.Generator | None = None
) -> Perceptron:
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
    return Perceptron(layers[0], nn.ReLU(), layers[1])
