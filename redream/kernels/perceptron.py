"""A perceptron with one hidden layer, forward and backward in one sweep over the points, for CPUs.

Of matrices that are long and a few numbers wide, PyTorch's products read and write more than they
compute; here what a point needs stays in registers. On a GPU, and wherever the numbers are not
float32, the perceptron is PyTorch's own, which is the reference, too.
"""

from typing import Any, NamedTuple, no_type_check

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from redream.kernels.launch import launch

wp.set_module_options({"enable_backward": False})

WIDTH = 32  # hidden units at once; a layer is filled up with units that are always 0
_STRETCH = 4096  # points whose gradients a thread adds up

# C++ with vectors of 16 numbers, which Clang maps to what the CPU has. A row of 32 weights is read
# once for four points, and no sum waits for itself; past the end the last point is taken again.
# CUDA gets empty functions, which nothing launches.
_HIDDEN = """
#ifndef __CUDA_ARCH__
#pragma clang fp contract(fast)
    typedef float vec __attribute__((vector_size(64), aligned(4)));
    typedef int bits __attribute__((vector_size(64), aligned(4)));
    const vec zero = {};
    const int num_rows = 1 + num_inputs + num_outputs;
    for (int i = begin; i < end; i += 4) {
        const int num = wp::min(4, end - i);
        const float* x[4];
        for (int p = 0; p < 4; ++p)
            x[p] = inputs.data + (size_t)(i + wp::min(p, num - 1)) * num_inputs;
        for (int b = 0; b < num_blocks; ++b) {
            const vec* row = reinterpret_cast<const vec*>(weights.data) + 2 * num_rows * (size_t)b;
            vec h[4][2];
            for (int p = 0; p < 4; ++p)
                for (int v = 0; v < 2; ++v) h[p][v] = row[v];
            for (int f = 0; f < num_inputs; ++f)
                for (int p = 0; p < 4; ++p)
                    for (int v = 0; v < 2; ++v) h[p][v] += x[p][f] * row[2 + 2 * f + v];
            const vec* out = row + 2 + 2 * num_inputs;
"""
_FORWARD = (
    _HIDDEN
    + """
            float* y = outputs.data + (size_t)i * num_outputs;
            for (int p = 0; p < 4; ++p)
                for (int v = 0; v < 2; ++v) h[p][v] = (vec)((bits)h[p][v] & ~(h[p][v] <= zero));
            for (int o = 0; o < num_outputs; ++o)
                for (int p = 0; p < 4; ++p) {
                    const vec terms = h[p][0] * out[2 * o] + h[p][1] * out[2 * o + 1];
                    float sums[8];
                    for (int k = 0; k < 8; ++k) sums[k] = terms[k] + terms[k + 8];
                    for (int k = 0; k < 4; ++k) sums[k] += sums[k + 4];
                    if (p >= num) continue;
                    float* sum = y + p * num_outputs + o;
                    *sum = (b ? *sum : bias.data[o]) + (sums[0] + sums[2]) + (sums[1] + sums[3]);
                }
        }
    }
#endif
"""
)
_BACKWARD = (
    _HIDDEN
    + """
            vec* added = reinterpret_cast<vec*>(weights_grad.data)
                + 2 * num_rows * ((size_t)part * num_blocks + b);
            vec below[4][2] = {};
            for (int o = 0; o < num_outputs; ++o)
                for (int p = 0; p < 4; ++p) {
                    const size_t place = (size_t)(i + p) * num_outputs + o;
                    const float slope = p < num ? outputs_grad.data[place] : 0.0f;
                    for (int v = 0; v < 2; ++v) below[p][v] += slope * out[2 * o + v];
                    for (int v = 0; v < 2; ++v)
                        added[2 + 2 * (num_inputs + o) + v] +=
                            slope * (vec)((bits)h[p][v] & ~(h[p][v] <= zero));
                }
            for (int p = 0; p < 4; ++p)
                for (int v = 0; v < 2; ++v)
                    below[p][v] = (vec)((bits)below[p][v] & ~(h[p][v] <= zero));
            for (int v = 0; v < 2; ++v)
                added[v] += (below[0][v] + below[1][v]) + (below[2][v] + below[3][v]);
            for (int f = 0; f < num_inputs; ++f)
                for (int v = 0; v < 2; ++v)
                    added[2 + 2 * f + v] += (x[0][f] * below[0][v] + x[1][f] * below[1][v])
                        + (x[2][f] * below[2][v] + x[3][f] * below[3][v]);
            if (!inputs_wanted) continue;
            for (int column = 0; column < num_columns; column += 16) {
                const float* turned = by_unit.data + (size_t)b * 32 * num_columns + column;
                vec sums[4] = {};
                for (int v = 0; v < 2; ++v)
                    for (int k = 0; k < 16; ++k, turned += num_columns) {
                        const vec by_input = *reinterpret_cast<const vec*>(turned);
                        for (int p = 0; p < 4; ++p) sums[p] += below[p][v][k] * by_input;
                    }
                const int width = wp::min(16, num_inputs - column);
                for (int p = 0; p < 4; ++p) {
                    float* back = inputs_grad.data + (size_t)(i + p) * num_inputs + column;
                    for (int f = 0; p < num && f < width; ++f)
                        back[f] = (b ? back[f] : 0.0f) + sums[p][f];
                }
            }
        }
    }
#endif
"""
)


@wp.func_native(_FORWARD)
@no_type_check
def perceptron_outputs(
    inputs: wp.array[float],
    weights: wp.array[float],
    bias: wp.array[float],
    num_inputs: int,
    num_outputs: int,
    num_blocks: int,
    outputs: wp.array[float],
    begin: int,
    end: int,
) -> None:
    """Writes the outputs of points from ``begin`` to ``end``."""


@wp.func_native(_BACKWARD)
@no_type_check
def _gradients(
    inputs: wp.array[float],
    weights: wp.array[float],
    by_unit: wp.array[float],
    num_inputs: int,
    num_outputs: int,
    num_blocks: int,
    num_columns: int,
    outputs_grad: wp.array[float],
    inputs_wanted: bool,
    inputs_grad: wp.array[float],
    weights_grad: wp.array[float],
    part: int,
    begin: int,
    end: int,
) -> None: ...


@wp.kernel
@no_type_check
def _forward_kernel(
    inputs: wp.array[float],
    weights: wp.array[float],
    bias: wp.array[float],
    num_inputs: int,
    num_blocks: int,
    num_points: int,
    stretch: int,
    outputs: wp.array[float],
) -> None:
    part = wp.tid()
    perceptron_outputs(
        inputs,
        weights,
        bias,
        num_inputs,
        bias.shape[0],
        num_blocks,
        outputs,
        part * stretch,
        wp.min((part + 1) * stretch, num_points),
    )


@wp.kernel
@no_type_check
def _backward_kernel(
    inputs: wp.array[float],
    weights: wp.array[float],
    by_unit: wp.array[float],
    num_inputs: int,
    num_outputs: int,
    num_blocks: int,
    num_columns: int,
    num_points: int,
    stretch: int,
    outputs_grad: wp.array[float],
    inputs_wanted: bool,
    inputs_grad: wp.array[float],
    weights_grad: wp.array[float],
) -> None:
    part = wp.tid()
    _gradients(
        inputs,
        weights,
        by_unit,
        num_inputs,
        num_outputs,
        num_blocks,
        num_columns,
        outputs_grad,
        inputs_wanted,
        inputs_grad,
        weights_grad,
        part,
        part * stretch,
        wp.min((part + 1) * stretch, num_points),
    )


class Packed(NamedTuple):
    """A perceptron's weights as the kernels read them.

    Attributes:
        weights: For each 32 hidden units ``1 + F + O`` rows of 32 numbers: biases, weights by
            input, weights by output.
        bias: Of the outputs.
    """

    weights: Float[Tensor, "blocks rows 32"]
    bias: Float[Tensor, " O"]


@torch.no_grad()
def pack(
    first: Float[Tensor, "H F"],
    first_bias: Float[Tensor, " H"],
    second: Float[Tensor, "O H"],
    bias: Float[Tensor, " O"],
) -> Packed:
    """Arranges the two layers' weights for the kernels."""
    missing = -len(first) % WIDTH
    if missing:
        first = functional.pad(first, (0, 0, 0, missing))
        first_bias, second = (functional.pad(x, (0, missing)) for x in (first_bias, second))
    blocks = (
        first_bias.view(-1, 1, WIDTH),
        first.view(-1, WIDTH, first.shape[1]).transpose(1, 2),
        second.view(len(second), -1, WIDTH).transpose(0, 1),
    )
    return Packed(torch.cat(blocks, dim=1), bias.contiguous())


class _Perceptron(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, *layers: Tensor) -> Tensor:  # noqa: ANN401
        inputs = inputs.contiguous()
        packed, num = pack(*layers), len(inputs)
        outputs = inputs.new_empty(num, len(packed.bias))
        launch(
            _forward_kernel,
            -(-num // _STRETCH),
            inputs.view(-1),
            packed.weights.view(-1),
            packed.bias,
            inputs.shape[1],
            len(packed.weights),
            num,
            _STRETCH,
            outputs.view(-1),
        )
        ctx.save_for_backward(inputs, packed.weights, layers[0])
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outputs_grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        inputs, weights, first = ctx.saved_tensors
        num, num_inputs = inputs.shape
        hidden, num_outputs = len(first), outputs_grad.shape[1]
        by_unit = functional.pad(first, (0, -num_inputs % 16, 0, -hidden % WIDTH))
        inputs_wanted = ctx.needs_input_grad[0]
        inputs_grad = torch.empty_like(inputs) if inputs_wanted else inputs  # unread if unwanted
        num_parts = -(-num // _STRETCH)
        added = weights.new_zeros(num_parts, *weights.shape)
        outputs_grad = outputs_grad.contiguous()
        launch(
            _backward_kernel,
            num_parts,
            inputs.view(-1),
            weights.view(-1),
            by_unit.view(-1),
            num_inputs,
            num_outputs,
            len(weights),
            by_unit.shape[1],
            num,
            _STRETCH,
            outputs_grad.view(-1),
            inputs_wanted,
            inputs_grad.view(-1),
            added.view(-1),
        )
        first_bias, by_input, by_output = added.sum(0).split([1, num_inputs, num_outputs], dim=1)
        return (
            inputs_grad if inputs_wanted else None,
            by_input.transpose(1, 2).reshape(-1, num_inputs)[:hidden],
            first_bias.reshape(-1)[:hidden],
            by_output.transpose(0, 1).reshape(num_outputs, -1)[:, :hidden],
            outputs_grad.sum(0),
        )


def perceptron(
    inputs: Float[Tensor, "N F"],
    first: Float[Tensor, "H F"],
    first_bias: Float[Tensor, " H"],
    second: Float[Tensor, "O H"],
    bias: Float[Tensor, " O"],
) -> Float[Tensor, "N O"]:
    """``second relu(first x + first_bias) + bias`` of each row x, on the CPU in float32.

    Args:
        inputs: The rows.
        first: Weights of the hidden layer.
        first_bias: Its biases.
        second: Weights of the outputs.
        bias: Their biases.

    Returns:
        The outputs; differentiable once with respect to all arguments.
    """
    outputs: Tensor = _Perceptron.apply(inputs, first, first_bias, second, bias)
    return outputs
