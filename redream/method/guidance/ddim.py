"""Deterministic DDIM (Song et al., 2020a), up and down: what ISM, SDI and DSD share."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.priors import Prior

Predict = Callable[
    [Float[Tensor, "R C h w"], Int[Tensor, " R"], Int[Tensor, " R"]], Float[Tensor, "R C h w"]
]
"""eps of some rows: their x_t, their t, and which of all rows they are."""


def step(
    prior: Prior,
    noisy: Float[Tensor, "B C h w"],
    eps: Float[Tensor, "B C h w"],
    now: Int[Tensor, " B"],
    after: Int[Tensor, " B"],
) -> Float[Tensor, "B C h w"]:
    """x_after = alpha_after x_0 + sigma_after eps, x_0 = (x_now - sigma_now eps) / alpha_now.

    Args:
        prior: Has the noise schedule.
        noisy: x_now.
        eps: The noise predicted for it.
        now: Its diffusion times.
        after: Where to, earlier or later.
    """
    alpha, sigma = prior.signal_and_noise(now)
    alpha_after, sigma_after = prior.signal_and_noise(after)
    return alpha_after * ((noisy - sigma * eps) / alpha) + sigma_after * eps


def follow(
    prior: Prior,
    noisy: Float[Tensor, "B C h w"],
    times: Int[Tensor, "B n"],
    predict: Predict,
    jolts: Float[Tensor, "B m C h w"] | None = None,
) -> Float[Tensor, "B C h w"]:
    """Follows the prior's ODE along the times of each row; a row that has arrived costs nothing.

    Args:
        prior: Has the noise schedule.
        noisy: x at each row's first time.
        times: Diffusion times; the last may repeat.
        predict: The noise at a point of the path.
        jolts: Noise that is added after each step, in units of the standard deviation of DDPM's
            posterior between its two times; None for a path without chance.

    Returns:
        x at each row's last time.
    """
    noisy = noisy.clone()
    for index in range(times.shape[1] - 1):
        now, after = times[:, index], times[:, index + 1]
        rows = (now != after).nonzero()[:, 0]  # known to the host from here on
        if len(rows) == 0:
            continue
        now, after = now[rows], after[rows]
        moved = step(prior, noisy[rows], predict(noisy[rows], now, rows), now, after)
        if jolts is not None:
            moved = moved + _deviation(prior, now, after) * jolts[rows, index]
        noisy[rows] = moved
    return noisy


def upward(ends: Int[Tensor, " B"], stride: int) -> Int[Tensor, "B n"]:
    """0, stride, 2 stride, ... of each row, up to its end.

    Args:
        ends: Last time of each row.
        stride: Diffusion times between two steps.
    """
    num = -(-int(ends.max()) // stride)
    times = torch.arange(num + 1, device=ends.device) * stride
    return torch.minimum(times[None], ends[:, None])


def downward(first: int, ends: Int[Tensor, " B"], num_steps: int) -> Int[Tensor, "B n"]:
    """From ``first`` down to each row's end, by the grid that has ``num_steps`` down to 0."""
    times = torch.linspace(first, 0, num_steps + 1, device=ends.device).round().long()
    return torch.maximum(times[None], ends[:, None])


def _deviation(
    prior: Prior, earlier: Int[Tensor, " B"], later: Int[Tensor, " B"]
) -> Float[Tensor, "B 1 1 1"]:
    """Standard deviation of q(x_earlier | x_later, x_0): diffusers' ``_get_variance``."""
    alpha, sigma = prior.signal_and_noise(earlier)
    alpha_later, sigma_later = prior.signal_and_noise(later)
    variance = (sigma / sigma_later).square() * (1.0 - (alpha_later / alpha).square())
    return variance.clamp_min(0.0).sqrt()
