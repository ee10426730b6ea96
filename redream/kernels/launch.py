"""Runs a Warp kernel on PyTorch tensors, without copies, in PyTorch's own stream."""

from typing import Any

import torch
import warp as wp


def launch(kernel: wp.Kernel, dim: int | tuple[int, ...], *arguments: Any) -> None:  # noqa: ANN401
    """Launches a kernel whose array arguments are PyTorch tensors.

    Args:
        kernel: The kernel. Its declared types say how each tensor is seen: an argument
            ``wp.array[wp.vec3]`` takes a contiguous ``N 3`` tensor.
        dim: Number of threads, along one axis or several. Nothing runs when it is zero.
        *arguments: Tensors, all on one device, and plain numbers.
    """
    tensors = [argument for argument in arguments if isinstance(argument, torch.Tensor)]
    device = tensors[0].device
    if dim == 0 or (isinstance(dim, tuple) and 0 in dim):
        return
    declared: list[Any] = [argument.type for argument in kernel.adj.args]
    converted = [
        wp.from_torch(argument.detach(), dtype=kind.dtype, return_ctype=True)
        if isinstance(argument, torch.Tensor)
        else argument
        for argument, kind in zip(arguments, declared, strict=True)
    ]
    if device.type == "cuda":
        wp.launch(kernel, dim, converted, stream=wp.stream_from_torch(device))
    else:
        wp.launch(kernel, dim, converted, device="cpu")


def devices() -> list[str]:
    """The devices that Warp can run kernels on, such as ``cpu`` and ``cuda:0``."""
    wp.init()
    return [str(device) for device in wp.get_devices()]
