"""How often each pose is seen, and what keeps it even (RecDreamer, Zheng et al., 2025)."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.training.processes import Processes


def rarity(
    probabilities: Float[Tensor, "B C"], marginal: Float[Tensor, "B C"]
) -> Float[Tensor, " B"]:
    """What a density over pictures is multiplied by to make all poses equally likely, as its log.

    log f, with f = mean over c of p(c | x) / p(c): where p(x) is the prior's density and p(c) its
    marginal, p(x) f(x) has every pose equally often (RecDreamer, Zheng et al., 2025).

    Args:
        probabilities: p(c | x) of each picture.
        marginal: p(c), one row a picture.

    Returns:
        log f of each picture: 0 where the marginal is even, whatever the picture shows.
    """
    return (probabilities / marginal).mean(dim=1).log()


def limit_length(
    gradient: Float[Tensor, "B C h w"], reference: Float[Tensor, "B C h w"], bound: float = 1.0
) -> Float[Tensor, "B C h w"]:
    """Shortens each row of a gradient to at most ``bound`` times the length of another's.

    Args:
        gradient: What is bounded.
        reference: What it may not outdo, such as the guidance's gradient.
        bound: How many times its length.

    Returns:
        The gradient, whose direction stays.
    """
    length, most = (each.flatten(1).norm(dim=1) for each in (gradient, reference))
    share = (bound * most / length.clamp_min(torch.finfo(length.dtype).tiny)).clamp_max(1.0)
    shortened: Tensor = gradient * share.view(-1, 1, 1, 1)
    return shortened


def wrongness(
    probabilities: Float[Tensor, "B C"], azimuth_deg: Float[Tensor, " B"], tolerance_deg: float
) -> Float[Tensor, " B"]:
    """How surely pictures show another pose than their cameras' own.

    Args:
        probabilities: p(c | x) of each picture.
        azimuth_deg: Of its camera.
        tolerance_deg: A pose is right from so far beyond its arc, too.

    Returns:
        1 - p(right) / p(the likeliest pose), and 0 where that is less: in [0, 1].
    """
    num = probabilities.shape[1]
    width = 360.0 / num
    centres = torch.arange(num, device=azimuth_deg.device) * width
    away = (azimuth_deg[:, None] - centres + 180.0).remainder(360.0) - 180.0
    is_right = away.abs() <= width / 2.0 + tolerance_deg
    right = (probabilities * is_right).sum(dim=1)
    return (1.0 - right / probabilities.amax(dim=1)).clamp_min(0.0)


class MovingMeans:
    """Moving averages of vectors, by particle and by cell, the same in all processes.

    Args:
        start: What each cell begins with: ``K R C`` for K particles and R cells.
        memory: Values that a mean goes back over; a new one counts 1 / memory.
    """

    def __init__(self, start: Float[Tensor, "K R C"], memory: float) -> None:
        self.values, self.memory = start.clone(), memory
        self.counts = torch.zeros(start.shape[:2], dtype=torch.float64)

    def update(
        self,
        particles: Int[Tensor, " B"],
        cells: Int[Tensor, " B"],
        values: Float[Tensor, "B C"],
        processes: Processes = Processes(),  # noqa: B008  (frozen)
    ) -> None:
        """Takes new values in, those that are finite.

        All processes call it at the same steps, each with what its own particles gave.

        Args:
            particles: Of each value.
            cells: Of each value.
            values: What is averaged.
            processes: Who shares the work.
        """
        num, size = self.counts.shape
        is_finite = values.isfinite().all(dim=1)  # such a step is skipped, and its means with it
        particles, cells = particles.to(values.device), cells.to(values.device)
        particles, cells, values = particles[is_finite], cells[is_finite], values[is_finite]
        sums = torch.zeros(num * size, values.shape[1] + 1, dtype=torch.float64)
        ones = torch.ones(len(values), 1, dtype=torch.float64)
        rows = torch.cat([values.detach().double().cpu(), ones], dim=1)
        sums.index_add_(0, (particles * size + cells).cpu(), rows)
        if processes.num > 1:  # the reduction is of tensors on the particles' device
            sums = processes.total(sums.to(values.device)).cpu()
        total, count = sums[:, :-1].view(num, size, -1), sums[:, -1].view(num, size)
        kept = ((1.0 - 1.0 / self.memory) ** count)[:, :, None]
        mean = total / count.clamp_min(1.0)[:, :, None]
        self.values = (kept * self.values + (1.0 - kept) * mean.to(self.values)).to(self.values)
        self.counts += count

    def at(self, particles: Int[Tensor, " B"], cells: Int[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """The means of some cells."""
        return self.values[particles.cpu(), cells.cpu()]

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {"values": self.values.clone(), "counts": self.counts.clone()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Takes up what :meth:`state` gave."""
        self.values, self.counts = state["values"].cpu(), state["counts"].cpu()
