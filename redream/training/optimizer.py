"""One AdamW with named groups: theta per particle, omega, e_psi, zeta."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from redream.adapters import Adapter
from redream.representations import Representation
from redream.training.form import ADVICE, require_form


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


def require_resumable(
    restored: Mapping[str, Any],
    optimizer: Optimizer,
    scheduler: Any = None,  # noqa: ANN401
) -> None:
    """Makes sure that an optimiser can go on with what a checkpoint holds, before it takes it up.

    Args:
        restored: ``optimizer_states`` and ``lr_schedulers`` of the checkpoint.
        optimizer: An Adam that has not stepped.
        scheduler: Its schedule, where it has one.

    Raises:
        ValueError: If the groups, the moments or the schedule are of another form; one line.
    """
    own = optimizer.state_dict()["param_groups"]
    groups = {"state": {}, "param_groups": own}
    whole = _only(restored, "optimizer_states")
    moments = whole.get("state") if isinstance(whole, dict) else None
    known = moments if isinstance(moments, dict) else {}
    require_form(whole, groups, "optimizer_states", _SET_BY_TORCH | known.keys())
    for mine, theirs in zip(own, whole["param_groups"], strict=True):
        if [theirs[key] for key in ("name", "params")] != [mine["name"], mine["params"]]:
            raise ValueError(
                f"the checkpoint does not fit: optimizer_states has the group "
                f"{theirs['name']!r:.80} where {mine['name']} belongs; {ADVICE}"
            )
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    for number, moment in known.items():
        where = f"optimizer_states.{number!s:.80}"
        if type(number) is not int or not 0 <= number < len(parameters):
            raise ValueError(f"the checkpoint does not fit: {where} is of nothing here; {ADVICE}")
        like = parameters[number].detach()
        require_form(moment, {"step": _STEP, "exp_avg": like, "exp_avg_sq": like}, where)
    if scheduler is not None:
        schedule = scheduler.state_dict()
        needless = schedule.keys() - _OF_A_SCHEDULE
        require_form(_only(restored, "lr_schedulers"), schedule, "lr_schedulers", needless)


_SET_BY_TORCH = {"amsgrad", "maximize", "foreach", "capturable", "differentiable", "fused"} | {
    "decoupled_weight_decay"
}
"""Options of a group that PyTorch sets where an older version has not written them."""
_STEP = torch.tensor(0.0)
_OF_A_SCHEDULE = {"base_lrs", "last_epoch", "_step_count", "_last_lr"}


def _only(restored: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401
    """The one state under a name."""
    found = restored.get(name)
    if not isinstance(found, list) or len(found) != 1:
        raise ValueError(f"the checkpoint does not fit: {name} is not the state of one; {ADVICE}")
    return found[0]


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
