"""Interval score matching (Liang et al., 2023, LucidDreamer): scores along the inverted path."""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from redream.method.guidance.base import Guidance, Scored
from redream.method.guidance.ddim import follow, step, upward
from redream.schedules import Ramp, Weighting, value_at


class ISM(Guidance):
    """dL/dx = w(t) (eps_prior(x_t, t) - eps_0(x_s, s)), s = t - interval, on one DDIM path.

    x_s is found from the view by unconditional DDIM inversion in steps of ``stride``, x_t by one
    more step from x_s. Without chance between the two the average picture of SDS, and its blur,
    goes. Three rows a view, and one for each step of the inversion up to s.

    Args:
        interval: t - s in diffusion times, or a ramp by step.
        stride: Diffusion times between two steps of the inversion to x_s.
        weighting: w(t); the paper's is sqrt((1 - alpha_bar) / alpha_bar).
        **common: As of :class:`Guidance`.
    """

    takes_paths = False

    def __init__(
        self,
        interval: int | Ramp = Ramp(100.0, 50.0, 0, 1500),  # noqa: B008  delta_t_start, delta_t
        stride: int = 200,  # xs_delta_t
        weighting: Weighting = "noise_to_signal",
        **common: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(weighting=weighting, **common)
        if stride < 1:
            raise ValueError(f"stride is {stride}, and must be at least 1")
        self.interval, self.stride = interval, stride

    def gradient(self, at: Scored) -> Float[Tensor, "B C h w"]:
        """See :meth:`Guidance.gradient`; ``add_noise_with_cfg`` and ``train_step`` of its code."""
        interval = round(value_at(self.interval, at.step))
        earlier = (at.timesteps - interval).clamp_min(0)

        def unconditional(
            noisy: Float[Tensor, "R C h w"], timesteps: Int[Tensor, " R"], rows: Int[Tensor, " R"]
        ) -> Float[Tensor, "R C h w"]:
            some = at.select(rows)
            (eps,) = self.predict(self.rows(some, noisy, timesteps, self.prompts.negative))
            return eps

        times = upward(earlier, self.stride)
        start = self.prior.add_noise(at.latents, at.noise, times[:, 0])
        x_s = follow(self.prior, start, times, unconditional)
        (eps_s,) = self.predict(self.rows(at, x_s, earlier, self.prompts.negative))
        x_t = step(self.prior, x_s, eps_s, earlier, at.timesteps)
        (eps_t,) = self.predict(self.guided(at, self.rows(at, x_t)))
        return self.w(at) * (eps_t - eps_s)
