"""How a cloud of splats spends its rows: where more are needed, and which are worth nothing."""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from redream.kernels.splats_projection import rotation_matrices
from redream.precision import full_precision
from redream.representations.splat_parameters import SplatParameters
from redream.schedules import is_due

MIN_OPACITY = 0.005
"""A splat that is fainter is worth nothing (Kerbl et al., 2023; Kheradmand et al., 2024)."""
_MOST_COPIES = 51  # as in MCMC's released code: beyond, the alternating sum loses its digits
_MOST_OPACITY = 1.0 - 1e-6  # of what is divided: 1 has no logit, and no parts


class SplatStrategy(nn.Module, ABC):
    """Moves splats between two steps. What it remembers is in buffers, and so in checkpoints."""

    def prepare(self, num: int) -> None:  # noqa: B027  (optional hook)
        """Called once with the number of rows."""

    def num_first(self, num: int) -> int:
        """How many of ``num`` rows splats start in; the others wait, faded."""
        return num

    def observe(self, slopes: Float[Tensor, " N"], is_seen: Bool[Tensor, " N"]) -> None:  # noqa: B027
        """Told of each training render how strongly the centres in the picture are pulled.

        Args:
            slopes: Norm of the loss's gradient with respect to each centre, in units of half the
                picture, summed over the views.
            is_seen: The splats in front of a camera.
        """

    @abstractmethod
    def update(
        self, splats: SplatParameters, step: int, generator: torch.Generator, since: int = 1
    ) -> Int[Tensor, " M"]:
        """Moves splats before a step.

        Args:
            splats: The splats, changed in place.
            step: The step about to be made.
            generator: The source of randomness (on the CPU), keyed by seed and step.
            since: Steps since this was called before.

        Returns:
            The rows that are other splats now, of which an optimiser must forget what it knew.
        """


class MCMC(SplatStrategy):
    """Stochastic gradient Langevin dynamics over a fixed budget (Kheradmand et al., 2024).

    Splats that have faded move to where opaque ones are, so that together they look as the one did
    (Eq. 9); noise keeps faint ones searching (Eq. 8). The paper's regularisers are the penalties
    ``splat_opacity`` and ``splat_size`` of the representation.

    Args:
        period: Steps between two moves.
        begin: The first step at which splats move.
        end: The step from which on they stay.
        noise: Displacement in each step, per covariance, of a splat that is all but gone (the
            released code's 5e5 times its learning rate 1.6e-4).
    """

    def __init__(
        self, period: int = 25, begin: int = 50, end: int = 1_000_000, noise: float = 80.0
    ) -> None:
        super().__init__()
        if period < 1 or begin < 0 or noise < 0.0:
            raise ValueError(
                f"MCMC: period must be positive, begin and noise not negative, got {period}, "
                f"{begin}, {noise}"
            )
        self.period, self.begin, self.end, self.noise = period, begin, end, noise

    @torch.no_grad()
    def update(
        self, splats: SplatParameters, step: int, generator: torch.Generator, since: int = 1
    ) -> Int[Tensor, " M"]:
        """Relocates faded splats when it is time, and shakes faint ones in every step."""
        nothing = torch.zeros(0, dtype=torch.long, device=splats.means.device)
        if not self.begin <= step < self.end:
            return nothing
        moved = self._relocate(splats, generator) if is_due(step, self.period, since) else nothing
        self._shake(splats, generator)
        return moved

    def _relocate(self, splats: SplatParameters, generator: torch.Generator) -> Int[Tensor, " M"]:
        opacity = splats.logits.sigmoid().cpu()
        is_faded = (opacity <= MIN_OPACITY) | ~opacity.isfinite()
        faded, alive = is_faded.nonzero()[:, 0], (~is_faded).nonzero()[:, 0]
        if len(faded) == 0 or len(alive) == 0:
            return faded[:0].to(splats.means.device)
        drawn = torch.multinomial(opacity[alive], len(faded), True, generator=generator)
        source = alive[drawn]
        copies = (torch.bincount(source, minlength=len(opacity)) + 1).clamp_max(_MOST_COPIES)
        rows = source.unique()
        device = splats.means.device
        whole = opacity[rows].double().clamp_max(_MOST_OPACITY)
        share, scale = divided(whole, copies[rows])
        there = rows.to(device)
        splats.logits[there] = share.logit().to(splats.logits)
        splats.log_scales[there] += scale.log().to(splats.log_scales)[:, None]
        splats.copy_rows(faded.to(device), source.to(device))
        return torch.cat([faded, rows]).to(device)

    def _shake(self, splats: SplatParameters, generator: torch.Generator) -> None:
        noise = torch.randn(splats.means.shape, generator=generator).to(splats.means)
        # The released code's sigmoid: next to nothing unless a splat is fainter than 0.005.
        faint = torch.sigmoid(100.0 * ((1.0 - splats.logits.sigmoid()) - (1.0 - MIN_OPACITY)))
        axes = rotation_matrices(splats.rotations)
        with full_precision(axes):
            along = torch.einsum("nji,nj->ni", axes, self.noise * faint[:, None] * noise)
            along = along * (2 * splats.log_scales).exp()
            splats.means.add_(torch.einsum("nij,nj->ni", axes, along))


class AdaptiveDensity(SplatStrategy):
    """Clones, splits, prunes (Kerbl et al., 2023, Sec. 5), within the rows that there are.

    Splats whose centres are pulled strongly are cloned where they are small and split where they
    are large; rows of faded splats are what new ones are made of.

    Args:
        period: Steps between two densifications.
        begin: The first step at which splats are densified.
        end: The step from which on they stay.
        min_slope: Mean gradient norm of a centre, in units of half the picture, from which on a
            splat is densified.
        max_clone_size: Standard deviation along the longest axis up to which a splat is cloned
            instead of split, world units.
        max_size: Standard deviation along the longest axis above which a splat is pruned, world
            units.
        start_share: Share of the rows that the first splats take; the others wait, faded.
    """

    slopes: Tensor
    counts: Tensor

    def __init__(
        self,
        period: int = 100,
        begin: int = 100,
        end: int = 1_000_000,
        min_slope: float = 2e-4,
        max_clone_size: float = 0.01,
        max_size: float = 0.5,
        start_share: float = 0.25,
    ) -> None:
        super().__init__()
        if period < 1 or not 0.0 < start_share <= 1.0:
            raise ValueError(
                "AdaptiveDensity: period must be positive and start_share in (0, 1], got "
                f"{period}, {start_share}"
            )
        self.period, self.begin, self.end = period, begin, end
        self.min_slope, self.max_clone_size, self.max_size = min_slope, max_clone_size, max_size
        self.start_share = start_share

    def prepare(self, num: int) -> None:
        """Makes room for what is observed."""
        self.register_buffer("slopes", torch.zeros(num))
        self.register_buffer("counts", torch.zeros(num))

    def num_first(self, num: int) -> int:
        """The share that starts."""
        return max(1, round(self.start_share * num))

    @torch.no_grad()
    def observe(self, slopes: Float[Tensor, " N"], is_seen: Bool[Tensor, " N"]) -> None:
        """Adds a render's gradients to the mean."""
        self.slopes += slopes
        self.counts += is_seen

    @torch.no_grad()
    def update(
        self, splats: SplatParameters, step: int, generator: torch.Generator, since: int = 1
    ) -> Int[Tensor, " M"]:
        """Densifies and prunes when it is time."""
        if not is_due(step, self.period, since) or not self.begin <= step < self.end:
            return torch.zeros(0, dtype=torch.long, device=splats.means.device)
        size = splats.log_scales.exp().amax(1)
        is_alive = (splats.logits.sigmoid() > MIN_OPACITY) & (size <= self.max_size)
        pull = self.slopes / self.counts.clamp_min(1.0)
        wanting = (is_alive & (pull >= self.min_slope)).nonzero()[:, 0]
        free = (~is_alive).nonzero()[:, 0]
        # The strongest first, where there are fewer free rows than splats that want one.
        wanting = wanting[pull[wanting].argsort(descending=True, stable=True)][: len(free)]
        new = free[: len(wanting)]
        splats.copy_rows(new, wanting)
        is_large = size[wanting] > self.max_clone_size
        split = torch.cat([wanting[is_large], new[is_large]])
        noise = torch.randn(len(split), 3, generator=generator).to(splats.means)
        axes = rotation_matrices(splats.rotations[split])
        offsets = splats.log_scales[split].exp() * noise
        with full_precision(axes):
            splats.means[split] += torch.einsum("nij,nj->ni", axes, offsets)
        splats.log_scales[split] -= math.log(1.6)
        splats.logits[free[len(wanting) :]] = -20.0
        self.slopes.zero_()
        self.counts.zero_()
        return torch.cat([new, wanting[is_large], free[len(wanting) :]])


def divided(
    opacity: Float[Tensor, " N"], copies: Int[Tensor, " N"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Opacity and relative size of splats of which ``copies`` together look as one did.

    Kheradmand et al., 2024, Eq. 9: the centre keeps its opacity, and so does the integral along a
    line through it.

    Args:
        opacity: Of the one, in (0, 1), double precision.
        copies: How many it becomes.

    Returns:
        The opacity of each, and the factor on its scales.
    """
    each = 1.0 - (1.0 - opacity) ** (1.0 / copies)
    scale = torch.zeros_like(opacity)
    most = int(copies.max()) if len(copies) else 0
    # sum_i sum_k binom(i-1, k) (-1)^k o^(k+1) / sqrt(k+1), by the hockey stick: sum over i first.
    for k in range(most):
        binomial = torch.exp(
            torch.lgamma(copies.double() + 1.0)
            - torch.lgamma(torch.tensor(k + 2.0, dtype=torch.float64))
            - torch.lgamma((copies - k).clamp_min(1).double())
        )
        term = binomial * (-1.0) ** k * each ** (k + 1) / math.sqrt(k + 1)
        scale += torch.where(copies > k, term, 0.0)
    return each, opacity / scale
