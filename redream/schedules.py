"""What changes over a run: ramps, the range of diffusion times, and the weight w(t)."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

Weighting = Literal["sigma_squared", "uniform", "fantasia3d", "noise_to_signal"]


@dataclass(frozen=True)
class Ramp:
    """A value that goes linearly from ``start`` to ``end`` between two steps.

    Attributes:
        start: Value until ``begin_step``.
        end: Value from ``end_step`` on.
        begin_step: Where the change begins.
        end_step: Where it is complete; equal to ``begin_step`` for a hard switch there.
    """

    start: float
    end: float
    begin_step: int = 0
    end_step: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.begin_step <= self.end_step:
            raise ValueError(
                f"a ramp must not end before it begins: set 0 <= begin_step <= end_step, "
                f"not {self.begin_step} and {self.end_step}"
            )

    def at(self, step: int) -> float:
        """The value at a step."""
        if step >= self.end_step:
            return self.end
        if step <= self.begin_step:
            return self.start
        progress = (step - self.begin_step) / (self.end_step - self.begin_step)
        return self.start + progress * (self.end - self.start)


def value_at(value: float | Ramp, step: int) -> float:
    """The value of a constant or a ramp at a step."""
    return value.at(step) if isinstance(value, Ramp) else value


def is_due(step: int, period: int, since: int = 1) -> bool:
    """Whether it is time for what is done once in so many steps.

    Args:
        step: The step.
        period: Steps between two times.
        since: Steps since it was asked before: whose turn is every other step may never see 100.

    Returns:
        Whether a multiple of the period lies after that step, up to this one.
    """
    return step // period != (step - since) // period


@dataclass(frozen=True)
class TimestepRange:
    """The diffusion times that are sampled, as fractions of all training timesteps.

    Attributes:
        low: Lower end, in [0, 1).
        high: Upper end, in (0, 1]; ramping it down anneals the distillation toward detail.

    Raises:
        ValueError: If an end leaves that range, or they cross at some step.
    """

    low: Ramp = field(default_factory=lambda: Ramp(0.02, 0.02))
    high: Ramp = field(default_factory=lambda: Ramp(0.98, 0.98))

    def __post_init__(self) -> None:
        for name, ramp in (("low", self.low), ("high", self.high)):
            if not (0.0 <= ramp.start <= 1.0 and 0.0 <= ramp.end <= 1.0):
                raise ValueError(f"the {name} end of the timestep range must stay within 0 and 1")
        turns = {0}  # between them both ends are straight lines, so they cross at one of them
        for ramp in (self.low, self.high):
            turns |= {ramp.begin_step, ramp.end_step, max(0, ramp.end_step - 1)}
        for step in sorted(turns):
            self._ends(step)

    def bounds(self, step: int, num_train_timesteps: int) -> tuple[int, int]:
        """The smallest and the largest timestep at a step, both inclusive.

        Args:
            step: Training step.
            num_train_timesteps: How many timesteps the prior was trained with.

        Returns:
            The bounds, within [0, num_train_timesteps - 1].
        """
        low, high = self._ends(step)
        last = num_train_timesteps - 1
        return (
            min(round(low * num_train_timesteps), last),
            min(round(high * num_train_timesteps), last),
        )

    def _ends(self, step: int) -> tuple[float, float]:
        low, high = self.low.at(step), self.high.at(step)
        if low > high:
            raise ValueError(
                f"the timestep range is empty at step {step}, where it ends before it begins "
                f"({low:g} > {high:g}): lower `low` or raise `high`"
            )
        return low, high

    def sample(
        self, num: int, step: int, num_train_timesteps: int, generator: torch.Generator
    ) -> Int[Tensor, " B"]:
        """Samples timesteps uniformly between the bounds of a step.

        Args:
            num: How many.
            step: Training step.
            num_train_timesteps: How many timesteps the prior was trained with.
            generator: The source of randomness; the result lives on its device.

        Returns:
            The timesteps.
        """
        low, high = self.bounds(step, num_train_timesteps)
        return torch.randint(low, high + 1, (num,), generator=generator, device=generator.device)


def score_weight(
    weighting: Weighting,
    alpha: Float[Tensor, "B 1 1 1"],
    sigma: Float[Tensor, "B 1 1 1"],
) -> Float[Tensor, "B 1 1 1"]:
    """The weight w(t) of Eqs. 1 and 2.

    It depends on the ratio of picture to noise alone, so that priors with another scale of x_t,
    such as rectified flows, are weighted alike.

    Args:
        weighting: With alpha_bar = alpha^2 / (alpha^2 + sigma^2): ``sigma_squared`` is
            1 - alpha_bar, DreamFusion's and ProlificDreamer's; ``uniform`` is 1, Score Jacobian
            Chaining's; ``fantasia3d`` is sqrt(alpha_bar) (1 - alpha_bar); ``noise_to_signal`` is
            sqrt((1 - alpha_bar) / alpha_bar), LucidDreamer's: a step to the clean picture.
        alpha: alpha_t of each row, in x_t = alpha_t x_0 + sigma_t eps.
        sigma: sigma_t of each row.

    Returns:
        The weights, shaped to multiply latents.

    Raises:
        ValueError: If the weighting is unknown.
    """
    alpha_bar = alpha.square() / (alpha.square() + sigma.square())
    if weighting == "sigma_squared":
        return 1.0 - alpha_bar
    if weighting == "uniform":
        return torch.ones_like(alpha_bar)
    if weighting == "fantasia3d":
        return alpha_bar.sqrt() * (1.0 - alpha_bar)
    if weighting == "noise_to_signal":
        return ((1.0 - alpha_bar) / alpha_bar.clamp_min(1e-6)).sqrt()
    raise ValueError(
        f"unknown weighting {weighting!r}: choose sigma_squared, uniform, fantasia3d or "
        "noise_to_signal"
    )
