"""One face by evidence: the poses that a particle's pictures show are kept even over the circle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from redream.losses import guidance_loss, sum_of
from redream.method.guidance import Guidance
from redream.method.poses.classifier import PoseClassifier, fit_classifier
from redream.method.poses.features import ClipFeatures, PictureFeatures
from redream.method.poses.marginal import MovingMeans, limit_length, rarity, wrongness
from redream.method.terms import Drawn
from redream.retrieval import Encoder
from redream.schedules import Ramp, score_weight
from redream.training.form import require_form
from redream.training.processes import Processes
from redream.training.telling import tell
from redream.types import References, RetrievedAssets

_ARCS = 12  # of the circle, in which the fronts that were shown are counted
_RECENT = 4.0  # pictures that each of them remembers
_RAREST = 1e-3  # share of a pose below which it is not counted as rarer still


@dataclass(frozen=True)
class UniformPoses:
    """Evidence against second faces: what the assets' views say of the pose that a picture shows.

    A classifier of poses is made from the assets' views before the first step. It judges what the
    prior denoises each view to. Off while both weights are 0 and nothing is watched.

    Attributes:
        weight: Of RecDreamer's uniform score distillation (Zheng et al., 2025), a ramp by step:
            -w(t) sigma_t / alpha_t log mean_c p(c | x_0) / p(c, t), whose gradient is added to the
            guidance's. 1 is what theory has.
        doubt: How much less a view is distilled while its picture shows another pose than its
            camera's, from 0 to 1, a ramp by step; asks nobody for a gradient.
        watch: Whether to count the fronts that are shown, whatever the weights.
        period: All of it is done every so many steps.
        features: What the classifier sees; the CLIP that turns the assets where None.
        num_poses: Arcs of azimuth, the first centred on the front.
        num_ranges: Ranges of diffusion times, each with a marginal p(c, t) of its own.
        memory: Views that a marginal goes back over.
        bound: The term's gradient is at most so many times as long as the guidance's, row by row.
        through_network: Whether the gradient goes through the denoiser, as the authors have it; 2
            rows a view more, with gradients. Otherwise what it says is taken as it is, as score
            distillation does, and no row is asked for.
        per_latent: Whether the weight is for each number of a view's latents, as in the authors'
            code. A picture's pose is one answer, whose gradient is spread over all of them, while
            the guidance has an opinion on each: only so is the term to the guidance what it is at
            any other size. The bound cuts it afterwards.
        min_accuracy: Share of held-out views that the classifier has to name right.
        tolerance_deg: A camera so far outside of a pose's arc may still see it.

    Raises:
        ValueError: If a value is out of range.
    """

    weight: Ramp = Ramp(0.0, 0.0)
    doubt: Ramp = Ramp(0.0, 0.0)
    watch: bool = False
    period: int = 1
    features: PictureFeatures | None = None
    num_poses: int = 4
    num_ranges: int = 4
    memory: float = 32.0
    bound: float = 1.0
    through_network: bool = False
    per_latent: bool = False
    min_accuracy: float = 0.5
    tolerance_deg: float = 15.0

    def __post_init__(self) -> None:
        for name in ("period", "num_ranges", "memory"):
            if getattr(self, name) < 1:
                raise ValueError(f"poses: {name} must be at least 1, got {getattr(self, name)}")
        if self.num_poses < 2:
            raise ValueError(f"poses: num_poses must be at least 2, got {self.num_poses}")
        if not all(0.0 <= each <= 1.0 for each in (self.doubt.start, self.doubt.end)):
            raise ValueError("poses: doubt must stay between 0 and 1")
        if min(self.weight.start, self.weight.end, self.bound, self.tolerance_deg) < 0.0:
            raise ValueError("poses: weight, bound and tolerance_deg must not be negative")

    @property
    def is_on(self) -> bool:
        """Whether anything is done at all."""
        ramps = (self.weight, self.doubt)
        return self.watch or any(each.start != 0.0 or each.end != 0.0 for each in ramps)

    def begin(
        self, assets: RetrievedAssets, num_particles: int, seed: int, steps_a_round: int = 1
    ) -> "Poses | None":
        """Makes the classifier, and says what it is worth.

        Args:
            assets: Whose views it learns from; where it is known that an asset has no front, its
                views say nothing.
            num_particles: K.
            seed: Keys the random numbers.
            steps_a_round: After so many steps each particle has been scored as often.

        Returns:
            What judges; None where it is off.

        Raises:
            ValueError: If there are no features, or too few views.

        Warns:
            RuntimeWarning: If it is turned off, as no asset has a front or the classifier is poor.
        """
        if not self.is_on:
            return None
        references = _with_front(assets)
        if references is None:
            rank_zero_warn(
                "model.poses is off: none of the assets has a front, so that no pose is told apart",
                category=RuntimeWarning,
            )
            return None
        features = self.features or _own_features(assets)
        classifier = fit_classifier(features, references, self.num_poses, seed)
        if classifier.accuracy < self.min_accuracy:
            rank_zero_warn(
                f"model.poses is off: {classifier.words}, and min_accuracy is "
                f"{self.min_accuracy:.0%}; other model.poses.features may do better",
                category=RuntimeWarning,
            )
            return None
        tell(f"model.poses: {classifier.words}")
        return Poses(self, classifier, num_particles)

    def means(self, num_particles: int) -> tuple[MovingMeans, MovingMeans]:
        """What is counted, before anything was: the marginals, and the fronts that are shown."""
        num = self.num_poses
        even = torch.full((num_particles, self.num_ranges, num), 1.0 / num, dtype=torch.float64)
        shown = torch.zeros(num_particles, _ARCS, 1)
        return MovingMeans(even, self.memory), MovingMeans(shown, _RECENT)

    def require_state(self, state: object, num_particles: int) -> None:
        """Makes sure that what a checkpoint counted can be gone on with.

        Raises:
            ValueError: If it is of other counts of particles, cells or poses, or no counts at all.
        """
        own = _state(*self.means(num_particles))
        try:
            require_form(state, own, "poses")
        except ValueError as error:
            raise ValueError(
                f"{error}; keep num_particles and model.poses as they were, or start anew"
            ) from error


class Poses:
    """What judges the pictures of a run, and acts on it.

    Args:
        config: What is done, and how strongly.
        classifier: Says which pose a picture shows.
        num_particles: K.
        steps_a_round: After so many steps each particle has been scored as often as the others.

    Attributes:
        marginals: p(c, t) of each particle, in a cell for each range of diffusion times.
        shown: How surely each particle has shown its front lately, in a cell for each arc of
            azimuths.
    """

    def __init__(
        self,
        config: UniformPoses,
        classifier: PoseClassifier,
        num_particles: int,
        steps_a_round: int = 1,
    ) -> None:
        self.config, self.classifier = config, classifier
        self.steps_a_round = steps_a_round
        self.marginals, self.shown = config.means(num_particles)

    def act(
        self,
        drawn: Sequence[Drawn],
        gradients: Sequence[Float[Tensor, "B C h w"]],
        guidance: Guidance,
        step: int,
        processes: Processes = Processes(),  # noqa: B008  (frozen)
    ) -> tuple[list[Float[Tensor, "B C h w"]], dict[str, Tensor]]:
        """Judges the step's pictures.

        Args:
            drawn: What this process's active particles drew.
            gradients: The guidance's, of each of them.
            guidance: The way to distil, which has just asked the prior.
            step: The step.
            processes: Who shares the work.

        Returns:
            The gradients, less where a picture shows the wrong pose; and the term ``poses`` by its
            name, where it is due.
        """
        gradients, config = list(gradients), self.config
        if step // self.steps_a_round % config.period != 0:
            return gradients, {}
        self._watch(drawn, processes)
        weight, doubt = config.weight.at(step), config.doubt.at(step)
        if weight == doubt == 0.0:
            return gradients, {}
        with torch.set_grad_enabled(weight != 0.0):
            leaves = [each.latents.detach().requires_grad_(weight != 0.0) for each in drawn]
            found = self._denoised(drawn, leaves, guidance, step)
            if found is None:
                return gradients, {}
            clean, timesteps = found
            shows = self.classifier.probabilities(guidance.prior.decode_latents(clean))
        particles = _particles(drawn)
        cells = timesteps.cpu() * config.num_ranges // guidance.prior.num_train_timesteps
        marginal = self.marginals.at(particles, cells).clamp_min(_RAREST).to(shows)
        self.marginals.update(particles, cells, shows, processes)
        sizes = [len(each.latents) for each in drawn]
        losses = {}
        if weight != 0.0:
            alpha, sigma = guidance.prior.signal_and_noise(timesteps)
            scale = score_weight(guidance.weighting, alpha, sigma) * sigma / alpha.clamp_min(1e-3)
            loss = -(scale.flatten() * rarity(shows, marginal)).sum()
            wanted = torch.autograd.grad(loss, leaves)
            own = guidance.weight.at(step)
            weight *= leaves[0][0].numel() if config.per_latent else 1
            bounded = [
                limit_length(weight * mine, own * theirs, config.bound)
                for mine, theirs in zip(wanted, gradients, strict=True)
            ]
            terms = map(guidance_loss, (each.latents for each in drawn), bounded)
            losses["poses"] = sum_of(terms)
        if doubt != 0.0:
            azimuths = torch.cat([each.cameras.azimuth_deg for each in drawn]).to(shows)
            wrong = wrongness(shows.detach(), azimuths, config.tolerance_deg)
            kept = (1.0 - doubt * wrong).to(gradients[0]).view(-1, 1, 1, 1).split(sizes)
            gradients = [each * share for each, share in zip(gradients, kept, strict=True)]
        return gradients, losses

    @torch.no_grad()
    def front(self, pictures: Float[Tensor, "B 3 H W"]) -> Float[Tensor, " B"]:
        """How surely each picture shows the front, from 0 to 1."""
        return self.classifier.probabilities(pictures)[:, 0]

    @property
    def num_faces(self) -> float | None:
        """Fronts that the particle with the most of them has shown lately.

        The mean over the circle of how surely a front was seen, times the number of poses: 1 is
        right, 2 are two faces. None until some particle was seen from all around.
        """
        seen_round = (self.shown.counts > 0).all(dim=1)
        if not seen_round.any():
            return None
        shares = self.shown.values[:, :, 0].mean(dim=1)
        return float(shares[seen_round].max()) * self.classifier.num_poses

    def state(self) -> dict[str, dict[str, Tensor]]:
        """What was counted, for a checkpoint; the classifier is made again."""
        return _state(self.marginals, self.shown)

    def load_state(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Takes up what :meth:`state` gave.

        Raises:
            ValueError: If it is not of the form of its own; one line.
        """
        self.config.require_state(state, len(self.marginals.counts))
        self.marginals.load_state(state["marginals"])
        self.shown.load_state(state["shown"])

    @torch.no_grad()
    def _watch(self, drawn: Sequence[Drawn], processes: Processes) -> None:
        """Counts the fronts that the particles themselves show."""
        shows = self.front(torch.cat([each.image for each in drawn]))
        azimuths = torch.cat([each.cameras.azimuth_deg for each in drawn]).cpu()
        arcs = (azimuths.remainder(360.0) * (_ARCS / 360.0)).long().clamp_max(_ARCS - 1)
        self.shown.update(_particles(drawn), arcs, shows[:, None], processes)

    def _denoised(
        self,
        drawn: Sequence[Drawn],
        leaves: Sequence[Float[Tensor, "B C h w"]],
        guidance: Guidance,
        step: int,
    ) -> tuple[Float[Tensor, "B C h w"], Int[Tensor, " B"]] | None:
        """x_0 as the prior sees it, and t; None in a step in which the guidance asks nobody."""
        if self.config.through_network:
            at = guidance.scored(drawn, leaves, step)
            asked = guidance.guided(at)
            noisy, timesteps, (eps,) = asked.rows.latents, at.timesteps, guidance.predict(asked)
        elif guidance.heard is not None:
            num = sum(len(each) for each in leaves)
            noisy, timesteps, eps = (each[:num] for each in guidance.heard)
        elif guidance.num_fits > 1:
            return None
        else:
            raise ValueError(
                f"{type(guidance).__name__} asks the prior otherwise than by Guidance.predict, so "
                "nobody knows what it denoises: set model.poses.through_network true"
            )
        alpha, sigma = guidance.prior.signal_and_noise(timesteps)
        clean = (noisy - sigma * eps) / alpha.clamp_min(1e-3)
        if not self.config.through_network:
            latents = torch.cat(list(leaves))
            clean = clean.detach() + (latents - latents.detach())
        return clean, timesteps


def _state(marginals: MovingMeans, shown: MovingMeans) -> dict[str, dict[str, Tensor]]:
    return {"marginals": marginals.state(), "shown": shown.state()}


def _particles(drawn: Sequence[Drawn]) -> Int[Tensor, " B"]:
    """The particle of each view."""
    return torch.tensor([each.particle for each in drawn for _ in range(len(each.latents))])


def _with_front(assets: RetrievedAssets) -> References | None:
    """The views of the assets that are not known to have no front; None where there are none."""
    references = assets.references
    found = [each.has_front for each in getattr(assets, "orientations", ())]
    if not found:  # nobody looked: they are said to face front
        return references
    chosen = torch.tensor(found)[references.asset_index.cpu()]
    if not chosen.any():
        return None
    return references._replace(
        rgba=references.rgba[chosen],
        cameras=references.cameras.select(chosen),
        asset_index=references.asset_index[chosen],
    )


def _own_features(assets: RetrievedAssets) -> PictureFeatures:
    encoder = getattr(assets, "encoder", None)
    if not isinstance(encoder, Encoder):
        raise ValueError(
            "model.poses has nothing to see pictures by: set model.poses.features, or data.encoder "
            "to a CLIP"
        )
    return ClipFeatures(encoder)
