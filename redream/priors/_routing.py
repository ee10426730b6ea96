"""One UNet, several LoRA adapters, each row of a batch with its own."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from peft import LoraConfig
from peft.tuners import lora
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from redream.priors._gradient_scale import GradientScale

BASE = "__base__"


class Rows:
    """The adapters of a batch's rows, and what the layers make of them.

    Attributes:
        adapters: The adapter of each row.
        worn: For an adapter that leaves some rows to the frozen prior, those that it keeps, as
            booleans on the rows' device.
        present: Those that occur, without the frozen prior.
        gradients: By what the gradients within the network are multiplied.
    """

    def __init__(
        self,
        adapters: tuple[str, ...],
        worn: Mapping[str, Bool[Tensor, " B"]] | None = None,
        gradients: GradientScale | None = None,
    ) -> None:
        self.adapters, self.worn = adapters, worn or {}
        self.gradients = gradients or GradientScale(torch.float32)
        self.present = [name for name in dict.fromkeys(adapters) if name != BASE]
        self._scales: dict[tuple[tuple[str, int, float], ...], Tensor] = {}

    def scales(
        self, columns: tuple[tuple[str, int, float], ...], like: Tensor, dtype: torch.dtype
    ) -> Tensor:
        """For each row the scale of every rank of the named adapters, 0 where it has another.

        Args:
            columns: Name, rank and scale of each adapter.
            like: Gives the number of axes and the device.
            dtype: The adapters' precision.

        Returns:
            A tensor of shape (rows, 1, ..., total rank).
        """
        if columns not in self._scales:
            blocks = [
                torch.tensor([[scale if row == name else 0.0] * rank for row in self.adapters])
                for name, rank, scale in columns
            ]
            made = torch.cat(blocks, dim=1).to(like.device, dtype)
            ranks = [rank for _, rank, _ in columns]
            for (name, _, _), block in zip(columns, made.split(ranks, dim=1), strict=True):
                if name in self.worn:
                    block *= self.worn[name][:, None]
            self._scales[columns] = made
        scales = self._scales[columns]
        return scales.view(len(self.adapters), *[1] * (like.ndim - 2), -1)


class Routing:
    """Which adapter each row of the current forward pass is scored with.

    Attributes:
        rows: The current pass's rows; None outside of one.
    """

    def __init__(self) -> None:
        self.rows: Rows | None = None

    @contextmanager
    def route(self, rows: Rows | None) -> Iterator[None]:
        """Routes the rows of the forward passes inside the context."""
        before, self.rows = self.rows, rows
        try:
            yield
        finally:
            self.rows = before


class RoutedLinear(lora.Linear):
    """PEFT's LoRA layer, computing all rows of a mixed batch with two small products.

    PEFT's own mixed batches gather and scatter rows at every layer; here the ranks of all
    adapters stand side by side and each row's scales are zero outside its own adapter.
    """

    routing: Routing | None = None

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401
        """Adds to each row the output of its own adapter."""
        rows = None if self.routing is None else self.routing.rows
        if rows is None:
            output: Tensor = super().forward(x, *args, **kwargs)
            return output
        output = self.base_layer(x)
        names = [name for name in rows.present if name in self.lora_A]
        if not names:
            return output
        down = torch.cat([cast(Tensor, self.lora_A[name].weight) for name in names])
        up = torch.cat([cast(Tensor, self.lora_B[name].weight) for name in names], dim=1)
        columns = tuple((name, self.r[name], self.scaling[name]) for name in names)
        scales = rows.scales(columns, x, down.dtype)
        if x.dtype == down.dtype or torch.compiler.is_compiling():  # compilers choose themselves
            return output + linear(linear(x.to(down.dtype), down) * scales, up).to(output.dtype)
        update: Tensor = LowRankUpdate.apply(x, down, up, scales, rows.gradients)
        return output + update


class LowRankUpdate(torch.autograd.Function):
    """``up @ (scales * down @ x)`` in the adapter's precision, of a network in half of it.

    The backward pass needs x in the adapter's precision, too. x is remembered as it came, which the
    layers that read the same x share, and made precise again: a seventh of a step's activations.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Float[Tensor, "B ... I"],
        down: Float[Tensor, "R I"],
        up: Float[Tensor, "O R"],
        scales: Float[Tensor, "B ... R"],
        gradients: GradientScale,
    ) -> Float[Tensor, "B ... O"]:
        """The update of each row, in x's precision."""
        hidden = linear(x.to(down.dtype), down) * scales
        ctx.save_for_backward(x, down, up, scales, hidden)
        ctx.gradients = gradients
        return linear(hidden, up).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        gradient: Float[Tensor, "B ... O"],
    ) -> tuple[Tensor | None, ...]:
        """The gradients of x, down and up."""
        x, down, up, scales, hidden = ctx.saved_tensors
        precise = gradient.to(down.dtype)
        through = (precise @ up) * scales
        of_up = precise.flatten(0, -2).T @ hidden.flatten(0, -2)
        of_down = through.flatten(0, -2).T @ x.to(down.dtype).flatten(0, -2)
        of_x = (through @ down).to(x.dtype) if ctx.needs_input_grad[0] else None
        return of_x, ctx.gradients.undo(of_down), ctx.gradients.undo(of_up), None, None


def linear_layers(denoiser: nn.Module, target_modules: Sequence[str]) -> list[Any]:
    """The linear layers whose names end in one of the targets.

    Raises:
        ValueError: If there are none, or some are of another kind.
    """
    targets = [
        module
        for path, module in denoiser.named_modules()
        if any(path == target or path.endswith("." + target) for target in target_modules)
    ]
    if not targets or not all(isinstance(m, nn.Linear | RoutedLinear) for m in targets):
        raise ValueError(
            f"target_modules {list(target_modules)} must name linear layers of the UNet, "
            "such as to_q, to_k, to_v and to_out.0"
        )
    return targets


def add_lora(
    unet: Any,  # noqa: ANN401  (a diffusers model with PEFT's mixin)
    routing: Routing,
    name: str,
    rank: int,
    lora_alpha: float,
    target_modules: Sequence[str],
) -> nn.ModuleDict:
    """Adds a named LoRA adapter to the linear layers of a UNet; at first it changes nothing.

    Args:
        unet: The denoiser.
        routing: Tells its layers which row wears which adapter.
        name: The adapter's name.
        rank: Rank of the update.
        lora_alpha: The update is scaled by ``lora_alpha / rank``.
        target_modules: Endings of the names of the adapted layers.

    Returns:
        The trainable layers: for each adapted layer, its path with ``/`` for ``.``, the pair
        ``lora_A`` (down) and ``lora_B`` (up).

    Raises:
        ValueError: If the name is taken, or the targets are not linear layers of the UNet.
    """
    linear_layers(unet, target_modules)
    config = LoraConfig(
        r=rank,
        lora_alpha=lora_alpha,  # type: ignore[arg-type]
        target_modules=list(target_modules),
        init_lora_weights="gaussian",
    )
    config._register_custom_module({nn.Linear: RoutedLinear})
    with warnings.catch_warnings():  # several adapters are the point
        warnings.filterwarnings("ignore", "Already found a `peft_config` attribute")
        unet.add_adapter(config, adapter_name=name)
    layers = nn.ModuleDict()
    for path, module in unet.named_modules():
        if isinstance(module, RoutedLinear):
            module.routing = routing
            module.set_requires_grad(list(module.lora_A))  # add_adapter froze the others
            if name in module.lora_A:
                pair = {"lora_A": module.lora_A[name], "lora_B": module.lora_B[name]}
                layers[path.replace(".", "/")] = nn.ModuleDict(pair).float().eval()
    return layers
