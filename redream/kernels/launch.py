"""Runs Warp on PyTorch tensors, without copies, in PyTorch's own stream: the only place that does.

Warp is started here, at the first use. What it can run on is the CPU and CUDA; tensors of any other
device, such as Apple's ``mps``, are refused, because Warp would read their addresses as the CPU's.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

RUNNABLE = ("cpu", "cuda")
"""The types of device that kernels run on."""


def launch(kernel: wp.Kernel, dim: int | tuple[int, ...], *arguments: Any) -> None:  # noqa: ANN401
    """Launches a kernel whose array arguments are PyTorch tensors.

    Args:
        kernel: The kernel. Its declared types say how each tensor is seen: an argument
            ``wp.array[wp.vec3]`` takes a contiguous ``N 3`` tensor.
        dim: Number of threads, along one axis or several. Nothing runs when it is zero.
        *arguments: Tensors, all on one device, and plain numbers.

    Raises:
        ValueError: If the tensors are on a device without kernels, or on several.
    """
    where = _where(arguments)
    if not _is_empty(dim):
        wp.launch(kernel, dim, _arrays(kernel, arguments), **where)


def launch_adjoint(
    kernel: wp.Kernel,
    dim: int | tuple[int, ...],
    arguments: Sequence[Any],
    gradients: Sequence[Tensor | None],
) -> None:
    """Launches the adjoint that Warp makes of a kernel; gradients of what it read are added to.

    Args:
        kernel: The kernel, from a module whose ``enable_backward`` is set.
        dim: Number of threads, as in the forward launch.
        arguments: Those of the forward launch.
        gradients: For each argument the gradient: given for what the kernel wrote, added to for
            what it read; None for what has none.

    Raises:
        ValueError: If the tensors are on a device without kernels, or on several.
    """
    where = _where([*arguments, *gradients])
    if not _is_empty(dim):
        wp.launch(
            kernel,
            dim,
            _arrays(kernel, arguments),
            adj_inputs=_arrays(kernel, gradients),
            adjoint=True,
            **where,
        )


def triangles(
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    support_winding_number: bool = False,
) -> wp.Mesh:
    """Builds the bounding volume hierarchy of a mesh, in PyTorch's stream.

    Args:
        vertices: Positions.
        faces: Corner indices, one triangle or more.
        support_winding_number: Whether kernels will ask for the winding number.

    Returns:
        Warp's mesh, on the device of the vertices; kernels take its ``id``.

    Raises:
        ValueError: If the vertices are on a device without kernels.
    """
    require_runnable(vertices.device)
    wp.init()
    positions = vertices.detach().float().contiguous()
    corners = faces.detach().to(positions.device, torch.int32).reshape(-1).contiguous()
    with _stream(positions.device):
        return wp.Mesh(
            points=wp.from_torch(positions, dtype=wp.vec3),  # type: ignore[arg-type]
            indices=wp.from_torch(corners),  # type: ignore[arg-type]
            support_winding_number=support_winding_number,
        )


def require_runnable(device: torch.device) -> None:
    """Refuses devices that have no kernels.

    Raises:
        ValueError: If it is neither the CPU nor CUDA.
    """
    if device.type not in RUNNABLE:
        raise ValueError(
            f"kernels run on {' and '.join(RUNNABLE)}, not on {device.type}: "
            "use --trainer.accelerator cpu"
        )


def devices() -> list[str]:
    """The devices that Warp can run kernels on, such as ``cpu`` and ``cuda:0``."""
    wp.init()
    return [str(device) for device in wp.get_devices()]


def _is_empty(dim: int | tuple[int, ...]) -> bool:
    return 0 in dim if isinstance(dim, tuple) else dim == 0


def _arrays(kernel: wp.Kernel, arguments: Sequence[Any]) -> list[Any]:
    """Tensors as the arrays that the kernel declares; the rest as it is."""
    declared: list[Any] = [argument.type for argument in kernel.adj.args]
    return [
        wp.from_torch(argument.detach(), dtype=kind.dtype, return_ctype=True)
        if isinstance(argument, Tensor)
        else argument
        for argument, kind in zip(arguments, declared, strict=True)
    ]


def _where(arguments: Sequence[Any]) -> dict[str, Any]:
    """The tensors' one device, with Warp started: PyTorch's current stream of a GPU, or the CPU."""
    tensors = [each for each in arguments if isinstance(each, Tensor)]
    device = tensors[0].device
    for tensor in tensors:
        if tensor.device != device:
            raise ValueError(f"a kernel got tensors on {device} and on {tensor.device}: move them")
    require_runnable(device)
    wp.init()
    if device.type == "cuda":
        return {"stream": wp.stream_from_torch(device)}
    return {"device": "cpu"}


def _stream(device: torch.device) -> AbstractContextManager[Any]:
    """Within it, Warp works in PyTorch's current stream of a device."""
    if device.type != "cuda":
        return nullcontext()
    return wp.ScopedStream(wp.stream_from_torch(device))
