"""Lightweight adaptation (Sec. 4.4): the rows of Eq. 5, drawn from the assets' views."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.adapters import Adapter
from redream.cameras import VIEW_NAMES
from redream.losses import adapter_loss, view_contrast_loss
from redream.method.noise import draw_noise, random_backgrounds
from redream.method.pictures import Pictures
from redream.method.terms import Drawn, Request
from redream.priors import BASE, Prior, join_rows, with_image
from redream.priors.prompting import Prompting, ViewWords
from redream.training.finite import FiniteSteps
from redream.training.optimizer import make_optimizer
from redream.training.processes import Processes
from redream.types import ImagePrompt, NoisyRows, RetrievedAssets, key_generator

_PIXELS_AT_ONCE = 1 << 19  # that are encoded: 2 pictures of 512, 0.7 GB
_MAX_SKIPPED = 10  # steps that were not finite
_LATENTS_AT_ONCE = 1 << 15  # places of latents that are scored: 8 rows of 64 x 64, 0.6 GB


@dataclass(frozen=True)
class AdaptationSchedule:
    """How much Eq. 5 sees in a step, and how often it is looked at.

    Attributes:
        batch_size: Views of assets in each step, whole sets where the prior looks at those.
        held_out_period: Steps between two looks at the held-out views.
        balanced_views: Whether front, side and back are drawn equally often. Eq. 5's expectation
            is over the cameras, of which most see sides; False draws from them alike. A set of
            views goes round the object and is balanced by itself.
        ahead: Whether the prior is adapted before the first step, so that particles meet it
            finished; otherwise it learns beside them, step by step. It takes no more steps than
            the run has, and its learning rates are not the run's but its own.
        cache: Whether an adapter that was made ahead is kept in the user's cache, and taken from
            there by a run whose assets, prior and settings are the same.

    Raises:
        ValueError: If a number is below 1.
    """

    batch_size: int = 4
    held_out_period: int = 50
    balanced_views: bool = True
    ahead: bool = False
    cache: bool = True

    def __post_init__(self) -> None:
        for name in ("batch_size", "held_out_period"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"adaptation: {name} must be at least 1, got {getattr(self, name)}"
                )


class AdaptationBatch(NamedTuple):
    """What one step of the adaptation learns from.

    Attributes:
        rows: B rows of Eq. 5; where views are contrasted, 3 B, in three parts.
        noise: What the first B rows should predict, and the noise of every part.
        frozen: What the frozen prior says of the B views; None without an anchor.
    """

    rows: NoisyRows
    noise: Float[Tensor, "B C h w"]
    frozen: Float[Tensor, "B C h w"] | None = None


class Adaptation:
    """Teaches omega and e_psi the viewpoints of the retrieved assets, and nothing else.

    The views are encoded once, each over a background of its own. Some are held out; when their
    loss no longer falls the adapter stops. A prior that looks at sets of views is taught whole sets
    of one asset each, and sets are held out.

    Args:
        prior: The frozen prior, with the adapter attached.
        adapter: The light adapter.
        assets: Their views and captions, and the user's prompt c, for which views are contrasted
            where the adapter asks for it.
        schedule: What a step sees.
        seed: Keys every random number, together with the step.
        prompting: Names the views, by the same angles as in the distillation.
        pictures: What stands behind the views, and how they become latents.

    Attributes:
        references: The views.
        views: For each its index in ``VIEW_NAMES``.
    """

    def __init__(
        self,
        prior: Prior,
        adapter: Adapter,
        assets: RetrievedAssets,
        schedule: AdaptationSchedule = AdaptationSchedule(),  # noqa: B008  (frozen, as below)
        seed: int = 0,
        prompting: Prompting | None = None,
        pictures: Pictures = Pictures(),  # noqa: B008
    ) -> None:
        self.prior, self.adapter, self.references = prior, adapter, assets.references
        self.prompting = prompting or ViewWords()
        self.schedule, self.seed, self.prompt = schedule, seed, assets.prompt
        self.pictures = pictures
        self._seen = prior.image_tokens(self._fronts()) if prior.needs_image else None
        names = self.prompting.view_names(self.references.cameras)
        self.views = torch.tensor([VIEW_NAMES.index(name) for name in names])
        self._poses = self.references.cameras.c2w.to(prior.device)
        self.views_per_set = self._require_sets()
        self._sets = torch.arange(len(self.views)).view(-1, self.views_per_set)
        training, self._held_out = adapter.split(len(self._sets))
        groups = [training]
        if schedule.balanced_views and self.views_per_set == 1:
            groups = [training[self.views[training] == view] for view in range(len(VIEW_NAMES))]
        self._groups = [group for group in groups if len(group)]
        self._first = round(adapter.lowest_time * prior.num_train_timesteps)
        times = torch.arange(self._first, prior.num_train_timesteps, device=prior.device)
        emphasis = self._emphasis(times)
        self._mean_emphasis = emphasis.mean()
        if adapter.max_emphasis and float(emphasis.min()) == adapter.max_emphasis:
            warnings.warn(
                f"adapter.max_emphasis {adapter.max_emphasis:g} weighs all times alike: above "
                f"lowest_time {adapter.lowest_time:g} sigma^2 / alpha^2 is larger already. Raise "
                "it, or set 0",
                UserWarning,
                stacklevel=2,
            )

    @cached_property
    def latents(self) -> Float[Tensor, "B C h w"]:
        """The assets' views, encoded once."""
        return self._encode()

    @cached_property
    def _plain(self) -> Float[Tensor, "1 L D"]:
        with torch.no_grad():
            return self.prior.encode_prompts([self.prompt])

    def batch(self, step: int, share: slice = slice(None)) -> AdaptationBatch:
        """What omega and e_psi learn from at a step.

        Args:
            step: Keys the choice of views, diffusion times and noise.
            share: This process's part of the batch's views or sets; all of it by default.

        Returns:
            Rows of Eq. 5, with cat(e_psi, the asset's own caption), of front, side and back in
            turn where they are balanced; where views are contrasted, the same noisy views once
            more with the user's prompt under their own prefix, and once under another's.
        """
        generator = key_generator("adaptation", self.seed, step)
        picks = self._pick(generator)
        turns = torch.randint(1, len(VIEW_NAMES), (len(picks),), generator=generator)
        rows, noise = self._rows(picks, generator, share)
        if not self.adapter.view_contrast:
            return AdaptationBatch(rows, noise)
        own = self.views[self._sets[picks[share]]]
        other = (own + turns[share, None]) % len(VIEW_NAMES)
        prompts = [self.prompt] * len(VIEW_NAMES)
        texts = self.prior.encode_prompts(prompts, self.adapter.prefixes(VIEW_NAMES))
        contrasted = join_rows(
            [rows, *(_retold(rows, texts[view.flatten()]) for view in (own, other))]
        )
        return AdaptationBatch(
            contrasted, noise, self._frozen(rows) if self.adapter.anchor else None
        )

    def ask(self, drawn: Sequence[Drawn], step: int, processes: Processes) -> Request | None:
        """Eq. 5's rows, until the adapter stops; see :class:`redream.method.terms.Term`."""
        if self.adapter.stopped(step):
            return None
        num_sets = self.schedule.batch_size // self.views_per_set
        batch = self.batch(step, processes.share(num_sets))
        return Request("adapter", self.prior, batch.rows, lambda eps: self.loss(eps, batch))

    def loss(self, eps: Float[Tensor, "B C h w"], batch: AdaptationBatch) -> Float[Tensor, ""]:
        """Eq. 5, and what the adapter adds to it.

        Args:
            eps: The noise predicted for the batch's rows.
            batch: What :meth:`batch` returned.

        Returns:
            The loss.
        """
        num = len(batch.noise)
        weight = self.weight(batch.rows.timesteps[:num])
        loss = adapter_loss(eps[:num], batch.noise, weight)
        if not self.adapter.view_contrast:
            return loss
        own, other = eps[num : 2 * num], eps[2 * num :]
        error, other_error = (
            (weight * (each - batch.noise).square()).mean(dim=(1, 2, 3)) for each in (own, other)
        )
        loss = loss + self.adapter.view_contrast * view_contrast_loss(error, other_error)
        if batch.frozen is not None:
            drift = adapter_loss((own + other) / 2.0, batch.frozen, weight)
            loss = loss + self.adapter.anchor * drift
        return loss

    def weight(self, timesteps: Int[Tensor, " B"]) -> Float[Tensor, "B 1 1 1"]:
        """The weight of each row in Eq. 5.

        Args:
            timesteps: The rows' diffusion times.

        Returns:
            What the prior's own training used, or the adapter's emphasis on much noise, whose mean
            over the times that are trained is 1.
        """
        if self.adapter.max_emphasis == 0.0:
            return self.prior.denoising_weight(timesteps)
        return self._emphasis(timesteps) / self._mean_emphasis

    def _emphasis(self, timesteps: Int[Tensor, " B"]) -> Float[Tensor, "B 1 1 1"]:
        alpha, sigma = self.prior.signal_and_noise(timesteps)
        return (sigma / alpha.clamp_min(1e-3)).square().clamp_max(self.adapter.max_emphasis)

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Eq. 5 on the held-out views, with the same noise each time."""
        generator = key_generator("held-out", self.seed)
        rows, noise = self._rows(self._held_out, generator)
        together = self.views_per_set
        size = max(1, _LATENTS_AT_ONCE // rows.latents[0, 0].numel() // together) * together
        parts = [rows.select(slice(i, i + size)) for i in range(0, len(noise), size)]
        eps = torch.cat([self.prior.predict_noise(part) for part in parts])
        return float(adapter_loss(eps, noise, self.weight(rows.timesteps)))

    def _pick(self, generator: torch.Generator) -> Int[Tensor, " B"]:
        """A batch of views, of each group in turn, or of sets of them."""
        first = int(torch.randint(len(self._groups), (), generator=generator))
        picks = []
        for index in range(first, first + self.schedule.batch_size // self.views_per_set):
            group = self._groups[index % len(self._groups)]
            picks.append(group[torch.randint(len(group), (), generator=generator)])
        return torch.stack(picks)

    @torch.no_grad()
    def _frozen(self, rows: NoisyRows) -> Float[Tensor, "B C h w"]:
        """What the frozen prior says of the same x_t and the user's prompt without a view."""
        text = self._plain.expand(len(rows.latents), -1, -1)
        adapters = (BASE,) * len(rows.latents)
        return self.prior.predict_noise(_retold(rows, text)._replace(adapters=adapters))

    def _rows(
        self, chosen: Int[Tensor, " B"], generator: torch.Generator, share: slice = slice(None)
    ) -> tuple[NoisyRows, Tensor]:
        together, last = self.views_per_set, self.prior.num_train_timesteps
        chosen = self._sets[chosen].flatten()
        latents = self.latents[chosen]
        drawn = draw_noise(latents, last, generator, self._first, together)
        chosen, latents, timesteps, noise = (
            each.unflatten(0, (-1, together))[share].flatten(0, 1)
            for each in (chosen, latents, *drawn)
        )
        names = [VIEW_NAMES[view] for view in self.views[chosen].tolist()]
        indices = self.references.asset_index[chosen].tolist()
        captions = [self.references.captions[index] for index in indices]
        text = self.prior.encode_prompts(captions, self.adapter.prefixes(names))
        if self._seen is not None:
            text = with_image(text, self._seen[indices])
        noisy = self.prior.add_noise(latents, noise, timesteps)
        adapters, poses = (self.adapter.name,) * len(names), self._poses[chosen]
        return NoisyRows(noisy, timesteps, text, adapters, poses=poses), noise

    def _fronts(self) -> ImagePrompt:
        """Of each asset the view that is nearest to its front: what it is told to look like."""
        references, nearest = self.references, []
        off = references.cameras.azimuth_deg.abs() + references.cameras.elevation_deg.abs()
        for index in range(len(references.captions)):
            mine = (references.asset_index == index).nonzero()[:, 0]
            nearest.append(mine[off[mine].argmin()])
        picks = torch.stack(nearest)
        return ImagePrompt(references.rgba[picks], references.cameras.select(picks))

    def _require_sets(self) -> int:
        num, theirs = self.prior.views_per_set, self.references.views_per_set
        self._require_learned()
        if num not in (1, theirs):
            raise ValueError(
                f"{type(self.prior).__name__} looks at {num} views of an asset together, and the "
                f"references come in sets of {theirs}: render them with views_per_set {num}"
            )
        return num

    def _require_learned(self) -> None:
        learned, cameras = self.prior.learned_views, self.references.cameras
        if learned is not None:
            shown = cameras.distance * torch.tan(torch.deg2rad(cameras.fovy_deg) / 2.0)
            elevation, fovy, half_height = (
                (float(each.min()), float(each.max()))
                for each in (cameras.elevation_deg, cameras.fovy_deg, shown)
            )
            name, option = type(self.prior).__name__, "--data.references.init_args"
            learned.require(name, elevation, fovy, half_height, option)

    @torch.no_grad()
    def _encode(self) -> Float[Tensor, "B C h w"]:
        device, num = self.prior.device, len(self.references.rgba)
        behind = key_generator("backgrounds", self.seed)
        together = self.references.views_per_set
        backgrounds = random_backgrounds(num, behind, self.pictures.white_share, together)
        generator = key_generator("reference latents", self.seed)
        size = max(1, _PIXELS_AT_ONCE // self.prior.image_size**2)
        parts = []
        for rgba, background in zip(
            self.references.rgba.split(size), backgrounds.split(size), strict=True
        ):
            images = self.references._replace(rgba=rgba).over(background)
            parts.append(self.pictures.encode(self.prior, images.to(device), generator))
        return torch.cat(parts)


def _retold(rows: NoisyRows, text: Float[Tensor, "B L D"]) -> NoisyRows:
    """The same rows under another text; what they say of a picture stays."""
    return rows._replace(text=with_image(text, rows.text[:, text.shape[1] :]))


def adapt(
    adaptation: Adaptation,
    held_out_period: int = 50,
    num_steps: int | None = None,
    weight_decay: float = 0.0,
) -> int:
    """Trains omega and e_psi on Eq. 5 alone, without any particle, to the adapter's own end.

    Args:
        adaptation: What to train and on which views.
        held_out_period: Steps between two looks at the held-out views.
        num_steps: Steps after which to stop in any case.
        weight_decay: AdamW's.

    Returns:
        The steps taken.

    Raises:
        ValueError: If the adapter would never stop.
        GivenUp: If more than a few steps were not finite.
    """
    adapter, last = adaptation.adapter, math.inf if num_steps is None else num_steps
    if not adapter.stops and num_steps is None:
        raise ValueError("the adapter has neither max_steps nor patience, and would never stop")
    optimizer, scheduler = make_optimizer([], [adapter], lambda step: 1.0, weight_decay)
    finite, alone = FiniteSteps(_MAX_SKIPPED), Processes()
    step = 0
    while step < last and not adapter.stopped(step):
        batch = adaptation.batch(step)
        loss = adaptation.loss(adaptation.prior.predict_noise(batch.rows), batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        finite.guard({"adapter": loss}, optimizer, step, alone)
        optimizer.step()
        scheduler.step()
        step += 1
        if step % held_out_period == 0:
            adapter.observe(adaptation.held_out_loss())
    return step
