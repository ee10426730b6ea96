"""A training loop that survives interruption: checkpoints by the clock, curves as CSV."""

import csv
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

Step = Callable[[int], dict[str, Tensor]]


def pick_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision(device: torch.device) -> torch.autocast:
    """Forward passes in bfloat16, which GPUs and many CPUs compute faster."""
    return torch.autocast(device.type, torch.bfloat16)


class Ema:
    """An exponential moving average of a module's parameters.

    Args:
        module: The module that is averaged.
        decay: Weight of the past at each update; ramps up from zero over the first updates.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        self.module = module
        self.decay = decay
        self.num_updates = 0
        self.shadow = {key: value.clone() for key, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Blends the current parameters in."""
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        for key, value in self.module.state_dict().items():
            if value.is_floating_point():
                self.shadow[key].lerp_(value, 1.0 - decay)
            else:
                self.shadow[key].copy_(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Puts the averaged parameters into the module for the length of a ``with`` block."""
        kept = {key: value.clone() for key, value in self.module.state_dict().items()}
        self.module.load_state_dict(self.shadow)
        try:
            yield
        finally:
            self.module.load_state_dict(kept)


def rate_factor(index: int, num_steps: int, num_warmup_steps: int, fall_share: float) -> float:
    """The learning rate of a step, as a share of its peak.

    Args:
        index: The step, from 0 on.
        num_steps: Steps of the whole training.
        num_warmup_steps: Steps over which it rises linearly from 5%.
        fall_share: Share of the steps, the last ones, over which it falls as a half cosine to 2%;
            between rise and fall it stays at its peak.

    Returns:
        A factor in (0, 1].
    """
    rise = 0.05 + 0.95 * min(1.0, index / max(1, num_warmup_steps))
    falling = max(1.0, fall_share * (num_steps - num_warmup_steps))
    passed = min(1.0, max(0.0, 1.0 - (num_steps - index) / falling))
    return rise * (0.02 + 0.98 * (1.0 + math.cos(math.pi * passed)) / 2.0)


def train(
    step: Step,
    modules: nn.ModuleDict,
    folder: Path,
    num_steps: int,
    learning_rate: float,
    weight_decay: float = 0.01,
    num_warmup_steps: int = 200,
    fall_share: float = 1.0,
    ema_decay: float = 0.999,
    held_out: Callable[[], dict[str, float]] | None = None,
    checkpoint_seconds: float = 180.0,
    log_every: int = 50,
) -> Ema:
    """Runs ``step`` until ``num_steps``, resuming from ``folder`` where a checkpoint lies there.

    Gradients are clipped to norm 1. Every ``log_every`` steps a line goes to
    ``folder/curve.csv``; with every checkpoint one goes to ``folder/held_out.csv``.

    Args:
        step: ``step(i)`` draws its own batch, keyed by ``i``, and returns named losses of which
            ``loss`` is minimised.
        modules: What is trained: the parameters that require a gradient.
        folder: Where ``checkpoint.pt`` and the curves live.
        num_steps: The length of the whole training.
        learning_rate: Its peak (:func:`rate_factor` says how it rises and falls).
        weight_decay: AdamW's.
        num_warmup_steps: Steps of linear warm-up.
        fall_share: Share of the steps over which the learning rate falls.
        ema_decay: Weight of the past in the averaged parameters.
        held_out: Measures what was not trained on; called with the averaged parameters in place.
        checkpoint_seconds: Time between checkpoints.
        log_every: Steps between log lines.

    Returns:
        The averaged parameters.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parameters = [p for p in modules.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, learning_rate, betas=(0.9, 0.99), weight_decay=weight_decay
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda index: rate_factor(index, num_steps, num_warmup_steps, fall_share)
    )
    ema = Ema(modules, ema_decay)
    first = _resume(folder, modules, optimizer, scheduler, ema)
    console, started, saved = Console(), time.monotonic(), time.monotonic()
    sums: dict[str, float] = {}
    for index in range(first, num_steps):
        losses = step(index)
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        scheduler.step()
        ema.update()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value.item()
        if (index + 1) % log_every == 0:
            rate = (time.monotonic() - started) / (index + 1 - first)
            means = {name: total / log_every for name, total in sums.items()}
            sums = {}
            _log(folder / "curve.csv", index + 1, means)
            text = " ".join(f"{name} {value:.4f}" for name, value in means.items())
            left = rate * (num_steps - index - 1) / 60
            console.print(f"{index + 1}/{num_steps} {text} {rate:.2f} s/step, {left:.0f} min left")
        if time.monotonic() - saved > checkpoint_seconds or index + 1 == num_steps:
            _save(folder, index + 1, modules, optimizer, scheduler, ema)
            if held_out is not None:
                with ema.applied(), torch.no_grad():
                    _log(folder / "held_out.csv", index + 1, held_out())
            saved = time.monotonic()
    return ema


def _resume(
    folder: Path,
    modules: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    ema: Ema,
) -> int:
    path = folder / "checkpoint.pt"
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True, map_location="cpu")
    modules.load_state_dict(state["modules"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    for key, value in state["ema"].items():
        ema.shadow[key].copy_(value)
    ema.num_updates = state["ema_updates"]
    return int(state["step"])


def _save(
    folder: Path,
    step: int,
    modules: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    ema: Ema,
) -> None:
    state = {
        "step": step,
        "modules": modules.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "ema": ema.shadow,
        "ema_updates": ema.num_updates,
    }
    temporary = folder / f"checkpoint.{os.getpid()}.tmp"
    torch.save(state, temporary)
    os.replace(temporary, folder / "checkpoint.pt")


def _log(path: Path, step: int, means: dict[str, float]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(["step", *means])
        writer.writerow([step, *(f"{value:.6f}" for value in means.values())])
