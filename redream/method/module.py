"""The method: K particles, a frozen prior with a light adapter, and variational distillation."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Int
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from redream.adapters import LightAdapter, VariationalAdapter, require_host
from redream.cameras import concatenate, sample_cameras
from redream.losses import delta_correction, guidance_loss, sum_of, variational_loss
from redream.method.adaptation import Adaptation, draw_noise, random_backgrounds
from redream.method.assignment import Assignment, assign
from redream.method.guidance import Drawn, Scoring, require_same_diffusion
from redream.method.prompts import PromptTable
from redream.method.start import start_particles
from redream.method.warmup import Attraction
from redream.priors import Prior
from redream.priors.prompting import Prompting, ViewWords
from redream.representations import Representation
from redream.schedules import Ramp, TimestepRange, Weighting, value_at
from redream.training import checkpoints
from redream.training.finite import FiniteSteps
from redream.training.limits import require_uncompiled
from redream.training.optimizer import forget_replaced, make_optimizer
from redream.training.processes import Processes
from redream.types import Batch, NoisyRows, RetrievedAssets, key_generator, particle_seed


class ReDream(LightningModule):
    """Retrieval-augmented score distillation of K particles (Secs. 3-4, Apps. B and C).

    Each step renders every active particle, scores all of them in one forward pass of the
    denoiser, and minimises one sum: guidance (Eq. 2), warm-up (Eq. 3), variational adapter
    (Eq. 4), prior adapter (Eq. 5) and the representation's penalties. Stop-gradients make the
    terms touch disjoint parameters, so one optimiser with named groups trains all of them.

    Args:
        prior: The frozen 2D diffusion prior phi.
        representation: Makes a particle from its seed.
        adapter: The light adapter omega with the view prefixes e_psi; None leaves the prior as
            it is.
        variational: The variational adapter zeta of VSD; None distils by SDS.
        variational_prior: The model that hosts zeta where it is not phi itself, such as the
            v-predicting Stable Diffusion 2.1 beside 2.1-base in ProlificDreamer.
        num_particles: K.
        particles_per_step: Particles updated in each step, in turn; None updates all.
        num_views: Views of each particle in a step.
        render_size: Height and width of the particles' views in pixels, or a ramp of them by step.
        guidance_scale: Classifier-free guidance of the prior, diffusers' form, or a ramp by step.
        negative_prompt: Prompt of the unconditional rows.
        prompting: How the prompt is put for each view; None says the view in words where no
            adapter gives prefixes.
        timesteps: The range of diffusion times.
        weighting: w(t).
        score_clip: Bound on each element of the score difference, a ramp by step (score debiasing
            of Debiased-SDS); None for no bound.
        share_noise: Whether zeta learns from the very x_t that it has just scored, so that one
            forward pass of it serves Eqs. 2 and 4; otherwise Eq. 4 draws t, over all times, and
            noise of its own.
        guidance_weight: Weight of Eq. 2 in the sum, a ramp by step.
        warmup_steps: tau, the last step of warm-up.
        sigma: Width of the kernel around an asset in Eq. 3.
        shape_weight: How strongly a particle that started from the user's own asset keeps its
            silhouettes, to the end and in units of Eq. 3, a ramp by step.
        assignment: Which asset attracts which particle: ``best_first`` gives particle i asset
            i mod N (Figs. 3 and 10), ``nearest`` the one nearest to its start (App. C).
        adapter_batch_size: Views of assets in each step of Eq. 5.
        held_out_period: Steps between two looks at the held-out views.
        correction_period: App. B's correction is applied every so many steps; 0 never.
        correction_weight: Its weight, a ramp by step.
        penalties: Weight of each of the representation's penalties, ramps by step.
        learning_rate_scale: Factor on all learning rates, a ramp by step.
        random_background: Probability that a random colour replaces the learned background.
        elevation_deg: Range of the cameras' elevations.
        distance: Range of the cameras' distances.
        fovy_deg: Range of the cameras' vertical fields of view.
        seed: Seed of every random number, keyed by step and particle.
        max_skipped_steps: Steps with losses or gradients that are not finite are skipped; after
            so many of them the run ends.

    Raises:
        ValueError: If counts are out of range.
    """

    asset_of: Int[Tensor, " K"]

    def __init__(
        self,
        prior: Prior,
        representation: Callable[[int], Representation],
        adapter: LightAdapter | None = None,
        variational: VariationalAdapter | None = None,
        variational_prior: Prior | None = None,
        num_particles: int = 2,
        particles_per_step: int | None = None,
        num_views: int = 1,
        render_size: int | Ramp = 64,
        guidance_scale: float | Ramp = 7.5,
        negative_prompt: str = "",
        prompting: Prompting | None = None,
        timesteps: TimestepRange = TimestepRange(),  # noqa: B008  (frozen)
        weighting: Weighting = "sigma_squared",
        score_clip: Ramp | None = None,
        share_noise: bool = False,
        guidance_weight: Ramp = Ramp(1.0, 1.0),  # noqa: B008  (frozen)
        warmup_steps: int = 300,
        sigma: float = 0.05,
        shape_weight: Ramp = Ramp(0.0, 0.0),  # noqa: B008  (frozen)
        assignment: Assignment = "best_first",
        adapter_batch_size: int = 4,
        held_out_period: int = 50,
        correction_period: int = 3,
        correction_weight: Ramp = Ramp(1.0, 1.0),  # noqa: B008  (frozen)
        penalties: dict[str, Ramp] | None = None,
        learning_rate_scale: Ramp = Ramp(1.0, 1.0),  # noqa: B008  (frozen)
        random_background: float = 0.5,
        elevation_deg: tuple[float, float] = (-10.0, 40.0),
        distance: tuple[float, float] = (2.8, 3.2),
        fovy_deg: tuple[float, float] = (40.0, 40.0),
        seed: int = 0,
        max_skipped_steps: int = 10,
    ) -> None:
        super().__init__()
        active = num_particles if particles_per_step is None else particles_per_step
        if num_particles < 1 or not 1 <= active <= num_particles:
            raise ValueError(
                f"num_particles ({num_particles}) and particles_per_step ({active}) must be at "
                "least 1, and no more particles can step than there are"
            )
        self.prior, self.variational_prior = prior, variational_prior
        seeds = (particle_seed(seed, index) for index in range(num_particles))
        self.particles = nn.ModuleList(map(representation, seeds))
        self.adapter, self.variational = adapter, variational
        if adapter is not None:
            adapter.attach(require_host(prior))
        if variational_prior is not None:
            require_same_diffusion(prior, variational_prior)
            variational_prior.free_autoencoder()
        if variational is not None:
            variational.attach(require_host(variational_prior or prior))
        self.particles_per_step, self.num_views, self.render_size = active, num_views, render_size
        self.guidance_scale, self.negative_prompt = guidance_scale, negative_prompt
        self.prompting = prompting or ViewWords()
        self.timesteps, self.weighting, self.guidance_weight = timesteps, weighting, guidance_weight
        self.score_clip, self.share_noise = score_clip, share_noise
        self.warmup_steps, self.sigma, self.shape_weight = warmup_steps, sigma, shape_weight
        self.adapter_batch_size, self.held_out_period = adapter_batch_size, held_out_period
        self.correction_period, self.correction_weight = correction_period, correction_weight
        self.penalties = penalties or {}
        self.learning_rate_scale = learning_rate_scale
        self.random_background = random_background
        self.camera_ranges = (elevation_deg, distance, fovy_deg)
        self.seed = seed
        self.assignment = assignment
        self.register_buffer("asset_of", torch.full((num_particles,), -1))
        self.strict_loading = False  # checkpoints hold what trains, not the frozen prior
        self.processes = Processes()
        self._finite = FiniteSteps(max_skipped_steps)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step: the sum of all losses."""
        step = self.global_step
        active = self.processes.own(self.active_particles(step))
        drawn = [self._draw(index, step) for index in active]
        denoising, eps_zeta = self._adapter_losses(drawn, step)  # Eqs. 4 and 5
        gradients = self._score(drawn, step, eps_zeta)
        losses = {
            "guidance": sum_of(map(guidance_loss, (d.latents for d in drawn), gradients))  # Eq. 2
            * self.guidance_weight.at(step)
        }
        losses |= self._attraction.losses(drawn, step)  # Eq. 3
        losses |= denoising | self._penalties(drawn, step)
        self.losses = self.processes.join_losses(losses)
        self.log_dict(self.losses, prog_bar=True)
        self.log("loss", sum_of(self.losses.values()))
        return sum_of(losses.values())

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Skips the step where it is not finite; forgets what was replaced since it began."""
        forget_replaced(optimizer, self.particles)  # type: ignore[arg-type]
        self._finite.guard(self.losses, optimizer, self.global_step, self.processes)
        if self._finite.num_skipped:
            self.log("skipped", float(self._finite.num_skipped), prog_bar=True)

    def shared_parameters(self) -> list[nn.Parameter]:
        """What all processes train together: omega, e_psi and zeta."""
        adapters = [each for each in (self.adapter, self.variational) if each is not None]
        return [parameter for each in adapters for parameter in each.parameters()]

    def active_particles(self, step: int) -> list[int]:
        """The particles that a step updates, in turn."""
        start = step * self.particles_per_step
        return [(start + i) % len(self.particles) for i in range(self.particles_per_step)]

    def size_at(self, step: int) -> int:
        """Height and width of the views at a step, in pixels."""
        return round(value_at(self.render_size, step))

    def _draw(self, index: int, step: int) -> Drawn:
        """Renders a particle from random cameras and draws its noise, keyed by step and index."""
        generator = key_generator("draw", self.seed, step, index)
        plugins = key_generator("plugins", self.seed, step, index)
        torch.manual_seed(plugins.initial_seed())  # for those that draw without a generator
        particle: Representation = self.particles[index]  # type: ignore[assignment]
        particle.update(step)
        size = self.size_at(step)
        cameras = sample_cameras(self.num_views, generator, *self.camera_ranges).to(self.device)
        views = particle.render(cameras, size, size)
        if torch.rand((), generator=generator) < self.random_background:
            background = random_backgrounds(self.num_views, generator).to(self.device)
        else:
            background = particle.background(cameras, size, size)
        image = views.over(background)
        latents = self.prior.encode_images(image)
        last = self.prior.num_train_timesteps
        timesteps = self.timesteps.sample(self.num_views, step, last, generator)
        noise = torch.randn(latents.shape, generator=generator)
        timesteps, noise = timesteps.to(self.device), noise.to(latents)
        return Drawn(index, cameras, views, background, image, latents, timesteps, noise, generator)

    @torch.no_grad()
    def _score(
        self, drawn: Sequence[Drawn], step: int, eps_zeta: Tensor | None = None
    ) -> list[Tensor]:
        """The gradient of Eq. 2 (Eq. 20) for each drawn particle, corrected as in App. B."""
        corrected = self._corrects(step)
        latents = [d.latents.detach() for d in drawn]
        if corrected:
            latents += [self.prior.encode_images(self._attraction.image(d)) for d in drawn]
        sources = [*drawn, *drawn] if corrected else list(drawn)
        cameras = concatenate([d.cameras for d in sources])
        gradient = self._scoring.gradient(
            torch.cat(latents),
            torch.cat([d.noise for d in sources]),
            torch.cat([d.timesteps for d in sources]),
            cameras,
            self._prompts.condition(cameras, step),
            value_at(self.guidance_scale, step),
            eps_zeta,
        )
        if self.score_clip is not None:
            bound = self.score_clip.at(step)
            gradient = gradient.clamp(-bound, bound)
        parts = gradient.split(self.num_views)
        if not corrected:
            return list(parts)
        return [
            delta_correction(mine, asset, self.correction_weight.at(step))
            for mine, asset in zip(parts[: len(drawn)], parts[len(drawn) :], strict=True)
        ]

    def _corrects(self, step: int) -> bool:
        due = self.correction_period > 0 and step % self.correction_period == 0
        return due and self.correction_weight.at(step) != 0.0

    def _adapter_losses(
        self, drawn: Sequence[Drawn], step: int
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Both denoising losses, in one forward pass, and what zeta says of a shared x_t."""
        parts: list[tuple[str, NoisyRows, Callable[[Tensor], Tensor]]] = []
        if self.variational is not None:
            rows, noise = self._variational_batch(drawn)
            weight = self._scoring.host_of(rows).denoising_weight(rows.timesteps)
            parts.append(("variational", rows, lambda eps: variational_loss(eps, noise, weight)))
        if self.adapter is not None and not self.adapter.stopped(step):
            batch = self._adaptation.batch(step, self.processes.share(self.adapter_batch_size))
            parts.append(("adapter", batch.rows, lambda eps: self._adaptation.loss(eps, batch)))
        if not parts:
            return {}, None
        predicted = self._scoring.predict([rows for _, rows, _ in parts])
        losses = {name: loss(eps) for (name, _, loss), eps in zip(parts, predicted, strict=True)}
        shared = self.share_noise and self.variational is not None
        return losses, predicted[0].detach() if shared else None

    def _variational_batch(self, drawn: Sequence[Drawn]) -> tuple[NoisyRows, Tensor]:
        """Eq. 4's rows: the particles' views at a fresh x_t, over all times, or the scored one."""
        latents, last = [d.latents.detach() for d in drawn], self.prior.num_train_timesteps
        pairs = [(d.timesteps, d.noise) for d in drawn]
        if not self.share_noise:
            pairs = [draw_noise(x, last, d.generator) for x, d in zip(latents, drawn, strict=True)]
        timesteps = torch.cat([t for t, _ in pairs])
        noise = torch.cat([n for _, n in pairs])
        noisy = self.prior.add_noise(torch.cat(latents), noise, timesteps)
        cameras = concatenate([d.cameras for d in drawn])
        return self._scoring.variational_rows(noisy, timesteps, cameras), noise

    def _penalties(self, drawn: Sequence[Drawn], step: int) -> dict[str, Tensor]:
        """The representations' regularisers, weighted, summed over particles."""
        return {
            name: weight.at(step) * sum_of(d.views.penalty(name) for d in drawn)
            for name, weight in self.penalties.items()
            if weight.at(step) != 0.0
        }

    def setup(self, stage: str) -> None:
        """Meets the retrieved assets."""
        self._assets: RetrievedAssets = self.trainer.datamodule  # type: ignore[attr-defined]
        self._prompt = self._assets.prompt
        require_uncompiled(self)

    def on_fit_start(self) -> None:
        """Encodes once what stays: the prompt, its negative, the assets' views."""
        self._prompts = PromptTable(
            self.prior, self.prompting, self.adapter, self._prompt, self.negative_prompt
        )
        self._scoring = Scoring(
            self.prior,
            self.variational_prior,
            self.adapter,
            self.variational,
            self.weighting,
            self._prompts,
            self._prompt,
        )
        if self.adapter is not None:
            self._adaptation = self.adaptation(self._assets)
        if int(self.asset_of[0]) < 0:  # not from a checkpoint
            start_particles(self.particles, self._assets.starts, self.seed)
            assigned = assign(
                self.assignment,
                list(self.particles),  # type: ignore[arg-type]
                self._assets,
                self.size_at(0),
                self.sigma,
                self.device,
            )
            self.asset_of.copy_(assigned)
        asset_of: list[int] = self.asset_of.tolist()  # a step waits for no GPU
        self._attraction = Attraction(
            self._assets, asset_of, self.warmup_steps, self.sigma, self.shape_weight
        )

    def adaptation(self, assets: RetrievedAssets) -> Adaptation:
        """What teaches the light adapter the views of some assets."""
        assert self.adapter is not None
        return Adaptation(
            self.prior, self.adapter, assets, self.adapter_batch_size, self.seed, self.prompting
        )

    @property
    def stage(self) -> str:
        """What the run is doing, for the progress bar."""
        if self.global_step < self.warmup_steps:
            return "warm-up"
        adapting = self.adapter is not None and not self.adapter.stopped(self.global_step)
        return "distil and adapt" if adapting else "distil"

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Every ``held_out_period`` steps, the held-out views decide on stopping early.

        Not at the end of the step before: a checkpoint may have been written there already.
        """
        step, self.looked = self.global_step, {}
        if self.adapter is None or step == 0 or self.adapter.stopped(step - 1):
            return
        if step % self.held_out_period == 0:
            loss = self.trainer.strategy.broadcast(self._adaptation.held_out_loss())
            self.adapter.observe(loss)
            self.looked = {"held_out": loss}
            self.log("held_out", loss)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: callbacks preview, measure and export the particles."""

    test_step = predict_step = validation_step

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """One AdamW with named groups: theta per particle, omega, e_psi, zeta."""
        optimizer, scheduler = make_optimizer(
            list(self.particles),  # type: ignore[arg-type]
            [self.adapter, self.variational],
            self.learning_rate_scale.at,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_train_end(self) -> None:
        """The end is in a checkpoint, too."""
        checkpoints.save_last_step(self.trainer)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Particles keep the assets that they had."""
        checkpoints.require_same_parts(checkpoint, self)
        if self.trainer.training:
            checkpoints.warn_of_other_random_keys(checkpoint)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leaves the frozen prior out: adapters are saved under their own names."""
        state = checkpoint["state_dict"]
        for key in [key for key in state if checkpoints.is_frozen(key)]:
            del state[key]
        checkpoints.mark_random_keys(checkpoint)
