"""Score distillation via inversion (Lukoianov et al., 2024): the noise that the view came from."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.method.guidance.base import Guidance, Scored
from redream.method.guidance.ddim import follow, upward
from redream.method.terms import Drawn
from redream.schedules import Weighting


class SDI(Guidance):
    """dL/dx = w(t) (eps_prior(x_t) - kappa), x_t = alpha_t x_0 + sigma_t kappa.

    kappa is the noise from which DDIM would have made the view: found by inversion to a time
    t + u T / num_steps, u uniform in [0, 1), under negative guidance. With the default weight the
    gradient is x_0 minus what the prior makes of x_t, as the paper has it. Two rows a view, and
    two for each step of the inversion.

    The released code hands the prior the inverted x at t + u T / num_steps, told that it is at t;
    here, as its comment says, the noise is taken to t.

    Args:
        num_steps: Steps of an inversion of the whole path; a view takes those up to t.
        inversion_scale: Guidance of the inversion, diffusers' form.
        inversion_chance: eta: noise added after each step of the inversion.
        weighting: w(t).
        **common: As of :class:`Guidance`.
    """

    takes_paths = False

    def __init__(
        self,
        num_steps: int = 10,  # inversion_n_steps
        inversion_scale: float = -7.5,  # inversion_guidance_scale; with Perp-Neg diffusers' form
        inversion_chance: float = 0.3,  # inversion_eta
        weighting: Weighting = "noise_to_signal",
        **common: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(weighting=weighting, **common)
        if num_steps < 1:
            raise ValueError(f"num_steps is {num_steps}, and must be at least 1")
        self.num_steps, self.inversion_scale = num_steps, inversion_scale
        self.inversion_chance = inversion_chance

    def draw(self, drawn: Drawn) -> Float[Tensor, "B m C h w"]:
        """In the first place u of each view, repeated, then noise for every step."""
        num, *shape = drawn.latents.shape
        u = self.uniform(num, drawn.generator)
        noise = torch.randn(num, self.num_steps + 1, *shape, generator=drawn.generator)
        return torch.cat([u.view(-1, 1, 1, 1, 1).expand(num, 1, *shape), noise], dim=1)

    def gradient(self, at: Scored) -> Float[Tensor, "B C h w"]:
        """See :meth:`Guidance.gradient`; ``invert_noise`` and ``compute_grad_sdi`` of its code."""
        kappa = self.kappa(at)
        noisy = self.prior.add_noise(at.latents, kappa, at.timesteps)
        (eps,) = self.predict(self.guided(at, self.rows(at, noisy)))
        return self.w(at) * (eps - kappa)

    def kappa(self, at: Scored) -> Float[Tensor, "B C h w"]:
        """The noise that each view came from."""
        last = self.prior.num_train_timesteps
        stride = last // self.num_steps
        u = at.random[:, 0, 0, 0, 0]
        ends = (at.timesteps + (u * stride).long()).clamp_max(last - 1)

        def guided(
            noisy: Float[Tensor, "R C h w"], timesteps: Int[Tensor, " R"], rows: Int[Tensor, " R"]
        ) -> Float[Tensor, "R C h w"]:
            some = at.select(rows)
            wanted = self.guided(some, self.rows(some, noisy, timesteps), self.inversion_scale)
            return self.predict(wanted)[0]

        jolts = self.inversion_chance * at.random[:, 1:] if self.inversion_chance else None
        times = upward(ends, stride)
        inverted = follow(self.prior, at.latents, times, guided, jolts)
        alpha, sigma = self.prior.signal_and_noise(ends)
        return (inverted - alpha * at.latents) / sigma
