"""Steps whose losses or gradients are not finite are skipped, and too many of them end the run."""

import warnings
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from redream.training.processes import Processes

_ADVICE = {
    "guidance": "a bound on the scores (--model.guidance.init_args.clip) or the prior in float32",
    "variational": "a smaller learning_rate of the variational adapter or the prior in float32",
    "adapter": "a smaller learning_rate of the adapter or the prior in float32",
    "warmup": "a larger --model.warmup.sigma",
    "poses": "a smaller --model.poses.weight",
}
_OTHERS = "a smaller --model.learning_rate_scale"


class GivenUp(ValueError):
    """Too many steps were not finite."""


class FiniteSteps:
    """Skips the steps that would spoil what is trained, and counts them.

    Args:
        max_skipped: Steps that may be skipped before the run ends.

    Attributes:
        num_skipped: Steps skipped so far in this session.
    """

    def __init__(self, max_skipped: int) -> None:
        self.max_skipped = max_skipped
        self.num_skipped = 0

    def guard(
        self,
        losses: Mapping[str, Tensor],
        optimizer: torch.optim.Optimizer,
        step: int,
        processes: Processes,
    ) -> None:
        """Takes the gradients away where one process found something that is not finite.

        Args:
            losses: The step's losses, joined over the processes.
            optimizer: Its groups are named.
            step: The step.
            processes: All of them decide alike.

        Raises:
            GivenUp: If more than ``max_skipped`` steps were skipped; says what to try.
        """
        found = list(_faults(losses, optimizer))
        if not processes.total(torch.tensor(float(bool(found)), device=_device_of(losses))):
            return
        named = dict.fromkeys(name for each in processes.tell_all(found) for name in each)
        what = ", ".join(named)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        self.num_skipped += 1
        if self.num_skipped > self.max_skipped:
            first = next(iter(named)).removeprefix("the loss ")
            raise GivenUp(
                f"step {step}: {what} not finite, and {self.max_skipped} steps were skipped "
                "before for such reasons: go on from the last checkpoint (--ckpt_path last) with "
                f"{_ADVICE.get(first, _OTHERS)}"
            )
        warnings.warn(f"step {step} is skipped: {what} not finite", RuntimeWarning, stacklevel=2)


def _faults(losses: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> Iterator[str]:
    """What is not finite: losses, or else the groups whose gradients are not."""
    values = torch.stack(list(losses.values()))
    if not values.isfinite().all():
        bad = values.isfinite().logical_not().tolist()
        yield from (f"the loss {name}" for name, is_bad in zip(losses, bad, strict=True) if is_bad)
        return
    parts = {str(group["name"]): _largest(group["params"]) for group in optimizer.param_groups}
    norms = torch.stack(list(parts.values()))
    if not norms.isfinite().all():
        bad = norms.isfinite().logical_not().tolist()
        found = (name for name, is_bad in zip(parts, bad, strict=True) if is_bad)
        yield from (f"the gradient of {name}" for name in found)


def _largest(parameters: list[torch.nn.Parameter]) -> Tensor:
    """The largest magnitude of a group's gradients, on the group's device."""
    gradients = [each.grad for each in parameters if each.grad is not None]
    if not gradients:
        return torch.zeros((), device=parameters[0].device)
    return get_total_norm(gradients, norm_type=float("inf")).float()


def _device_of(losses: Mapping[str, Tensor]) -> torch.device:
    return next(iter(losses.values())).device
