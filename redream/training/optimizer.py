"""One AdamW with named groups: theta per particle, omega, e_psi, zeta."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from redream.adapters import Adapter
from redream.representations import Representation


def make_optimizer(
    particles: Sequence[Representation],
    adapters: Sequence[Adapter | None],
    learning_rate_scale: Callable[[int], float],
    weight_decay: float = 0.0,
) -> tuple[AdamW, LambdaLR]:
    """Makes the optimiser of all particles and adapters, and its schedule by step.

    Args:
        particles: Each gives groups that are called ``theta_0.grid`` and so on.
        adapters: Those that are trained; None are left out.
        learning_rate_scale: Factor on all learning rates at a step; adapters have a factor of
            their own besides.
        weight_decay: Of the groups that do not name one of their own.

    Returns:
        The optimiser, and the scheduler that is to be stepped with it.
    """
    groups: list[dict[str, Any]] = []
    scales: list[Callable[[int], float]] = []
    for index, particle in enumerate(particles):
        for group in particle.parameter_groups():
            groups.append({**group, "name": f"theta_{index}.{group['name']}"})
            scales.append(learning_rate_scale)
    for adapter in adapters:
        if adapter is None:
            continue
        for group in adapter.parameter_groups():
            groups.append(group)
            scales.append(partial(_product, learning_rate_scale, adapter.learning_rate_scale))
    optimizer = AdamW(groups, betas=(0.9, 0.99), eps=1e-15, weight_decay=weight_decay)
    return optimizer, LambdaLR(optimizer, scales)


def forget_replaced(optimizer: Optimizer, particles: Sequence[Representation]) -> None:
    """Clears the moments of rows that hold something else since the step began.

    Args:
        optimizer: An Adam.
        particles: Those that may have replaced rows of their parameters.
    """
    for particle in particles:
        for parameter, rows in particle.take_replaced():
            for moment in ("exp_avg", "exp_avg_sq"):
                if moment in optimizer.state.get(parameter, {}):
                    optimizer.state[parameter][moment][rows] = 0.0


def _product(one: Callable[[int], float], other: Callable[[int], float], step: int) -> float:
    return one(step) * other(step)
