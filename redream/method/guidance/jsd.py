"""Joint score distillation (Jiang et al., 2024): a prior of views corrects one of pictures."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import interpolate

from redream.adapters import Adapter
from redream.losses import delta_correction, guidance_loss, guide, sds_gradient, sum_of
from redream.method.guidance.base import Guidance, Scored
from redream.method.guidance.sds import SDS
from redream.method.guidance.sum_of_priors import Encode
from redream.method.prompts import PromptTable
from redream.method.terms import Drawn
from redream.priors import Prior
from redream.priors.prompting import Prompting
from redream.schedules import Ramp, value_at


class _Unconditional(NamedTuple):
    """What phi was asked without the prompt in this step, particles' rows before their assets'.

    Attributes:
        noisy: x_t.
        timesteps: t.
        eps: The noise that it predicted.
        weight: w(t).
    """

    noisy: Float[Tensor, "B C h w"]
    timesteps: Int[Tensor, " B"]
    eps: Float[Tensor, "B C h w"]
    weight: Float[Tensor, "B 1 1 1"]


class JSD(Guidance):
    """dL/dx = w(t) (eps_prior(x_t) + coherence sigma_t dE/dx_t - eps), JointDreamer's.

    E = ||x_0(eps_uncond) - x_judge||^2 / (2 V) is how far V views of a particle, as phi makes them
    clean without the prompt, lie from what the judge makes of the same views at the same t, looking
    at all of them at once: MVDream, which is told where they were taken from. phi gives the looks,
    the judge keeps them those of one object. omega and e_psi are phi's; App. B corrects both parts.
    Two rows of phi a view, and two of the judge.

    Args:
        judge: The prior of views; its latents must be those of phi's autoencoder, at any size.
        coherence: Weight of the energy, a ramp by step; 0 does not ask the judge.
        judge_scale: Classifier-free guidance of the judge.
        judge_rescale: Share of its pictures' contrast that is brought back; see ``rescale``.
        judge_prompting: How the prompt is put to it; None says the view in words, as theirs.
        **common: As of :class:`Guidance`; the negative prompt is the judge's, too.

    Raises:
        ValueError: If the judge knows other latents than phi.
    """

    takes_paths = False

    def __init__(
        self,
        judge: Prior,
        coherence: float | Ramp = 5.0,  # extra_guid_wt
        judge_scale: float = 50.0,
        judge_rescale: float = 0.5,
        judge_prompting: Prompting | None = None,
        **common: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(**common)
        self.judge, self.coherence = judge, coherence
        self.other_priors = (judge,)
        self.judging = SDS(
            scale=judge_scale, rescale=judge_rescale, negative_prompt=self.negative_prompt
        )
        self.judge_prompting = judge_prompting
        self._said: _Unconditional | None = None

    def attach(self, prior: Prior) -> None:
        """Makes sure that judge and phi know the same latents."""
        own, other = (getattr(each, "latent_scale", None) for each in (prior, self.judge))
        is_alike = prior.latent_shape[0] == self.judge.latent_shape[0]
        if own is not None and other is not None:
            is_alike = is_alike and bool(torch.equal(own.cpu(), other.cpu()))
        if not is_alike:
            raise ValueError(
                f"JSD compares latents, and {type(self.judge).__name__}'s are of another "
                f"autoencoder than {type(prior).__name__}'s: take priors of one kind, such as "
                "Stable Diffusion 2.1 and MVDream, or SumOfPriors"
            )

    def begin(self, prior: Prior, omega: Adapter | None, prompts: PromptTable) -> None:
        """Puts the prompt to the judge as well; see :meth:`Guidance.begin`."""
        super().begin(prior, omega, prompts)
        table = prompts.put_to(self.judge, self.judge_prompting, self.negative_prompt)
        self.judging.begin(self.judge, None, table)

    def gradient(self, at: Scored) -> Float[Tensor, "B C h w"]:
        """SDS, and keeps what phi says without the prompt; see :meth:`Guidance.gradient`."""
        rows = self.rows(at)
        without = self.rows(at, text=self.prompts.negative)
        if at.text.repelled or self.rescale:
            eps, uncond = self.predict(self.guided(at, rows), without)
        else:
            cond, uncond = self.predict(rows, without)
            eps = guide(uncond, cond, value_at(self.scale, at.step))
            assert self.heard is not None
            self.heard = self.heard._replace(eps=eps)
        self._said = _Unconditional(rows.latents, at.timesteps, uncond, self.w(at))
        return sds_gradient(eps, at.noise, self.w(at))

    def other_losses(
        self,
        drawn: Sequence[Drawn],
        step: int,
        encode: Encode,
        asset_image: Callable[[Drawn], Float[Tensor, "B 3 H W"]],
        correction: float,
    ) -> dict[str, Tensor]:
        """What descends the energy, by name; see :meth:`Guidance.other_losses`."""
        coherence, said, self._said = value_at(self.coherence, step), self._said, None
        if coherence == 0.0 or said is None:
            return {}
        with torch.no_grad():
            pairs = [(each, each.image) for each in drawn]
            if correction != 0.0:
                pairs += [(each, asset_image(each)) for each in drawn]
            clean = self._judged(pairs, step, encode)
            gradients = coherence * said.weight * self._descent([p[0] for p in pairs], said, clean)
        parts = gradients.split([len(each.latents) for each, _ in pairs])
        if correction != 0.0:
            num = len(drawn)
            both = zip(parts[:num], parts[num:], strict=True)
            parts = tuple(delta_correction(mine, asset, correction) for mine, asset in both)
        losses = map(guidance_loss, (each.latents for each in drawn), parts)
        return {"coherence": sum_of(losses) * self.weight.at(step)}

    def _judged(
        self,
        pairs: Sequence[tuple[Drawn, Float[Tensor, "B 3 H W"]]],
        step: int,
        encode: Encode,
    ) -> Float[Tensor, "B C h w"]:
        """The clean pictures that the judge sees in its noisy views, at the size of its latents."""
        judge, seen = self.judge, []
        noise: dict[int, Tensor] = {}  # an asset's is its particle's
        for each, image in pairs:
            latents = encode(judge, each, image)
            if each.particle not in noise:
                noise[each.particle] = torch.randn(latents.shape, generator=each.generator)
            last = judge.num_train_timesteps
            times = each.timesteps * last // self.prior.num_train_timesteps
            seen.append(
                each._replace(
                    latents=latents, timesteps=times, noise=noise[each.particle].to(latents)
                )
            )
        at = self.judging.scored(seen, [each.latents for each in seen], step)
        rows = self.judging.rows(at)
        (eps,) = self.judging.predict(self.judging.guided(at, rows))
        alpha, sigma = judge.signal_and_noise(at.timesteps)
        return (rows.latents - sigma * eps) / alpha

    def _descent(
        self, drawn: Sequence[Drawn], said: _Unconditional, clean: Float[Tensor, "B C #h #w"]
    ) -> Float[Tensor, "B C h w"]:
        """sigma_t dE/dx_t, where phi's own answer is held and nothing is asked of what is empty."""
        alpha, sigma = self.prior.signal_and_noise(said.timesteps)
        size = said.noisy.shape[-2:]
        opacity = torch.cat([_resized(each.views.opacity, size) for each in drawn]).to(said.noisy)
        own = (said.noisy * opacity - sigma * said.eps) / alpha
        nums = torch.cat(
            [each.timesteps.new_full((len(each.latents),), len(each.latents)) for each in drawn]
        )
        shares = opacity / (alpha * nums.to(said.noisy)[:, None, None, None])
        return sigma * shares * (own - _resized(clean, size).to(own))


def _resized(pictures: Float[Tensor, "B C H W"], size: torch.Size) -> Float[Tensor, "B C h w"]:
    if pictures.shape[-2:] == size:
        return pictures
    small: Tensor = interpolate(pictures, tuple(size), mode="bilinear", align_corners=False)
    return small
