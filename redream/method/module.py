"""The method: K particles, a frozen prior with a light adapter, and a way to distil it."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from redream.adapters import Adapter, require_host
from redream.losses import guidance_loss, sum_of
from redream.method.adaptation import Adaptation, AdaptationSchedule
from redream.method.adapter_cache import adapt_ahead
from redream.method.cameras import CameraSampler
from redream.method.correction import Correction
from redream.method.early_backward import backward_now
from redream.method.guidance import VSD, Guidance
from redream.method.image_prompt import image_of, require_image, require_reader
from redream.method.pictures import Pictures
from redream.method.poses import Poses, UniformPoses
from redream.method.prompts import PromptTable
from redream.method.pulls import Pulls
from redream.method.reconstruction import Reconstruction
from redream.method.restoring import require_restorable
from redream.method.start import start_particles
from redream.method.terms import Drawn, Term, answer
from redream.method.turns import Turns
from redream.method.view_sets import require_views
from redream.method.warmup import Attraction, Warmup
from redream.priors import Prior
from redream.priors.prompting import Prompting, ViewWords
from redream.representations import Representation
from redream.schedules import Ramp
from redream.training import checkpoints
from redream.training.finite import FiniteSteps
from redream.training.limits import require_uncompiled
from redream.training.memory import predicted_memory
from redream.training.optimizer import forget_replaced, make_optimizer, require_resumable
from redream.training.processes import Processes
from redream.types import RetrievedAssets, drawing_from, key_generator, particle_seed


class ReDream(LightningModule):
    """Retrieval-augmented score distillation of K particles (Secs. 3-4, Apps. B and C).

    Each step renders every active particle, scores all of them in one forward pass of the
    denoiser, and minimises one sum: guidance (Eq. 2), warm-up (Eq. 3), variational adapter
    (Eq. 4), prior adapter (Eq. 5) and the representation's penalties. Stop-gradients make the
    terms touch disjoint parameters, so one optimiser with named groups trains all of them.

    Args:
        prior: The frozen 2D diffusion prior phi.
        representation: Makes a particle from its seed.
        guidance: The way to distil the prior; VSD by default.
        adapter: The light adapter omega with the view prefixes e_psi; None leaves the prior as
            it is.
        num_particles: K.
        particles_per_step: Particles updated in each step, in turn; None updates all.
        cameras: The views of a step.
        pictures: What stands behind views, and how they become latents.
        prompting: How the prompt is put for each view; None says the view in words where no
            adapter gives prefixes.
        warmup: How assets attract particles (Eq. 3).
        correction: How an asset's own gradient corrects a particle's (App. B).
        adaptation: What Eq. 5 sees in a step.
        poses: What keeps a particle from showing its front all around; off by default.
        reconstruction: How strongly particles are held to ``--data.image``; not by default.
        learning_rate_scale: Factor on all learning rates, a ramp by step.
        weight_decay: AdamW's, of whatever is no position in space; threestudio has 0.01, PyTorch's
            default.
        seed: Seed of every random number, keyed by step and particle. On the command line
            ``--seed_everything``, unless another is said here; else 0.
        max_skipped_steps: Steps with losses or gradients that are not finite are skipped; after
            so many of them the run ends.

    Attributes:
        losses: The terms of the last step, joined over the processes.
        held_out_losses: Eq. 5 on the held-out views, in the steps that look at them.
        pulls: How hard assets and prior pulled in the last steps of warm-up.
        views_per_set: So many views the prior looks at together: they share t, elevation, distance,
            field of view and random background. They stand at ``set_azimuths_deg`` or equal steps.
        poses: What judges the poses that are shown; None where that is off.

    Raises:
        ValueError: If counts are out of range, or the prior cannot score such views.
    """

    asset_of: Int[Tensor, " K"]

    def __init__(
        self,
        prior: Prior,
        representation: Callable[[int], Representation],
        guidance: Guidance | None = None,
        adapter: Adapter | None = None,
        num_particles: int = 2,
        particles_per_step: int | None = None,
        cameras: CameraSampler = CameraSampler(),  # noqa: B008  (frozen, as all below)
        pictures: Pictures = Pictures(),  # noqa: B008
        prompting: Prompting | None = None,
        warmup: Warmup = Warmup(),  # noqa: B008
        correction: Correction = Correction(),  # noqa: B008
        adaptation: AdaptationSchedule = AdaptationSchedule(),  # noqa: B008
        poses: UniformPoses = UniformPoses(),  # noqa: B008
        reconstruction: Reconstruction = Reconstruction(),  # noqa: B008
        learning_rate_scale: Ramp = Ramp(1.0, 1.0),  # noqa: B008
        weight_decay: float = 0.0,
        seed: int | None = None,
        max_skipped_steps: int = 10,
    ) -> None:
        super().__init__()
        active = num_particles if particles_per_step is None else particles_per_step
        self.guidance = VSD() if guidance is None else guidance
        self.turns = Turns(num_particles, active, self.guidance.num_fits)
        self.prior, self.variational_prior = prior, self.guidance.own_prior
        self.seed = seed = 0 if seed is None else seed
        self.other_priors = nn.ModuleList(self.guidance.other_priors)
        self.views_per_set, self.set_azimuths_deg = require_views(self._priors, cameras, adaptation)
        require_reader(prior, adapter, self.guidance, prompting)
        seeds = (particle_seed(seed, index) for index in range(num_particles))
        self.particles = nn.ModuleList(map(representation, seeds))
        self.adapter, self.variational = adapter, self.guidance.adapter
        if adapter is not None:
            with drawing_from("omega", seed):
                adapter.attach(require_host(prior))
        with drawing_from("zeta", seed):
            self.guidance.attach(prior)
        self.particles_per_step, self.cameras = active, cameras
        self.pictures, self.prompting = pictures, prompting or ViewWords()
        self.warmup, self.correction, self.adaptation_schedule = warmup, correction, adaptation
        self.uniform_poses, self.reconstruction = poses, reconstruction
        self.learning_rate_scale, self.weight_decay = learning_rate_scale, weight_decay
        self.register_buffer("asset_of", torch.full((num_particles,), -1))
        self.strict_loading = False  # checkpoints hold what trains, not the frozen prior
        self.processes = Processes()
        self.losses: dict[str, Tensor] = {}
        self.held_out_losses: dict[str, float] = {}
        self.pulls = Pulls()
        self.poses: Poses | None = None
        self._restored: dict[str, Any] = {}
        self._finite = FiniteSteps(max_skipped_steps)

    def training_step(self, batch: int, batch_idx: int) -> Tensor:
        """One step: the sum of all losses."""
        step = self.global_step
        active = self.processes.own(self.turns.active(step))
        drawn = [self._draw(index, step) for index in active]
        denoising = self._denoising_losses(drawn, step) if self.guidance.learns_first else {}
        losses = self._guidance_losses(drawn, step)  # Eq. 2
        losses |= self._attraction.losses(drawn, step)  # Eq. 3
        losses |= denoising or self._denoising_losses(drawn, step)  # Eqs. 4 and 5
        losses |= self._penalties(drawn, step) | self._reconstruction_losses(drawn, step)
        self.losses = self.processes.join_losses(losses)
        self.log_dict(self.losses, prog_bar=True)
        self.log("loss", sum_of(self.losses.values()))
        if self.poses is not None and (faces := self.poses.num_faces) is not None:
            self.log("faces", faces, prog_bar=True)
        return sum_of(losses.values())

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Skips the step where it is not finite; forgets what was replaced since it began."""
        forget_replaced(optimizer, [self.particle(i) for i in range(len(self.particles))])
        self._finite.guard(self.losses, optimizer, self.global_step, self.processes)
        if self._finite.num_skipped:
            self.log("skipped", float(self._finite.num_skipped), prog_bar=True)

    def shared_parameters(self) -> list[nn.Parameter]:
        """What all processes train together: omega, e_psi and zeta."""
        adapters = [each for each in (self.adapter, self.variational) if each is not None]
        return [parameter for each in adapters for parameter in each.parameters()]

    def predicted_memory(self) -> dict[str, int]:
        """Bytes of a GPU that a run holds at most, by part; see :mod:`redream.training.memory`."""
        num, size = self.cameras.most
        return predicted_memory(
            self._priors,
            list(self.particles),
            [each for each in self.parameters() if each.requires_grad],
            self.particles_per_step,
            num,
            size**2,
            self.guidance.learns_first,
        )

    def require_picture(self, assets: RetrievedAssets) -> None:
        """Makes sure that the data have the picture that the run needs; see require_image."""
        require_image(assets, self._priors, self.cameras, self.reconstruction)

    def particle(self, index: int) -> Representation:
        """Particle theta_i."""
        particle = self.particles[index]
        assert isinstance(particle, Representation)
        return particle

    def _draw(self, index: int, step: int) -> Drawn:
        """Renders a particle from random cameras and draws its noise, keyed by step and index."""
        scored, together = self.turns.scored(step), self.views_per_set
        generator = key_generator("draw", self.seed, scored, index)
        plugins = key_generator("plugins", self.seed, step, index)
        torch.manual_seed(plugins.initial_seed())  # for those that draw without a generator
        particle = self.particle(index)
        particle.steps_since = self.turns.since(index, step)
        particle.update(step)
        size, num = self.cameras.size_at(scored), self.cameras.num_at(scored, together)
        cameras = self.cameras.sample(num, generator, together, self.set_azimuths_deg)
        cameras = cameras.to(self.device)
        views = particle.render(cameras, size, size)
        colors = self.pictures.random_colors(num, generator, together)
        if colors is None:
            background = particle.background(cameras, size, size)
        else:
            background = colors.to(self.device)
        image = views.over(background)
        latents = self._encode(index, step, image)
        last = self.prior.num_train_timesteps
        times = self.guidance.timesteps.sample(num // together, step, last, generator)
        timesteps = times.repeat_interleave(together).to(self.device)
        noise = self.guidance.noise(latents.shape, generator, self.seed, index).to(latents)
        return Drawn(index, cameras, views, background, image, latents, timesteps, noise, generator)

    @property
    def _priors(self) -> list[Prior]:
        """phi, zeta's own network where there is one, and what is distilled besides."""
        own = [] if self.variational_prior is None else [self.variational_prior]
        return [self.prior, *own, *self.guidance.other_priors]

    def _encode(
        self, index: int, step: int, image: Float[Tensor, "B 3 H W"], prior: Prior | None = None
    ) -> Float[Tensor, "B C h w"]:
        """The latents of a particle's views, or of its asset's with the same random numbers."""
        generator = key_generator("latents", self.seed, self.turns.scored(step), index)
        return self.pictures.encode(prior or self.prior, image, generator)

    def _denoising_losses(self, drawn: Sequence[Drawn], step: int) -> dict[str, Tensor]:
        """What the terms learn from what they ask, in one forward pass of each network."""
        asked = [term.ask(drawn, step, self.processes) for term in self._terms]
        return answer([each for each in asked if each is not None])

    def _gradients(self, drawn: Sequence[Drawn], step: int) -> list[Float[Tensor, "B C h w"]]:
        """The gradient of Eq. 2 (Eq. 20) for each drawn particle, corrected as in App. B."""
        return self.guidance.gradients(
            drawn,
            step,
            lambda each: self._encode(each.particle, step, self._attraction.image(each)),
            self.correction.at(step, self.turns.steps_a_round),
        )

    def _guidance_losses(self, drawn: Sequence[Drawn], step: int) -> dict[str, Tensor]:
        """Descends all gradients, at once: then the autoencoder's activations are gone."""
        gradients, posed = self._gradients(drawn, step), dict[str, Tensor]()
        if self.poses is not None:
            gradients, posed = self.poses.act(drawn, gradients, self.guidance, step, self.processes)
            self.guidance.keep(drawn, gradients)
        losses = map(guidance_loss, (each.latents for each in drawn), gradients)
        others = self.guidance.other_losses(
            drawn,
            step,
            lambda prior, each, image: self._encode(each.particle, step, image, prior),
            self._attraction.image,
            self.correction.at(step, self.turns.steps_a_round),
        )
        found = {"guidance": sum_of(losses) * self.guidance.weight.at(step), **others, **posed}
        return backward_now(found, [each.image for each in drawn])

    def _reconstruction_losses(self, drawn: Sequence[Drawn], step: int) -> dict[str, Tensor]:
        """What holds particles to the picture, at its own camera."""
        particles = [self.particle(each.particle) for each in drawn]
        size = self.cameras.size_at(step)
        return self.reconstruction.losses(particles, self._seen_image, step, size)

    def _penalties(self, drawn: Sequence[Drawn], step: int) -> dict[str, Tensor]:
        """The representations' regularisers, weighted, summed over particles."""
        found = [self.particle(d.particle).penalize(d.views, step) for d in drawn]
        return {name: sum_of(each[name] for each in found) for name in found[0]}

    def setup(self, stage: str) -> None:
        """Meets the retrieved assets."""
        self._assets: RetrievedAssets = self.trainer.datamodule  # type: ignore[attr-defined]
        require_uncompiled(self)
        if stage == "fit":
            self.require_picture(self._assets)

    def on_fit_start(self) -> None:
        """Encodes once what stays: the prompt, its negative, the assets' views."""
        restored, self._restored = self._restored, {}
        if restored:  # the optimiser takes it up after this
            require_resumable(restored, self.trainer.optimizers[0], self.lr_schedulers())
        guidance, prompt = self.guidance, self._assets.prompt
        is_needed = self.reconstruction.is_on or any(each.needs_image for each in self._priors)
        self._seen_image = image_of(self._assets, self._priors, is_needed, self.device)
        negative, others = guidance.negative_prompt, guidance.other_texts(prompt)
        prompts = PromptTable(
            self.prior, self.prompting, self.adapter, prompt, negative, others, self._seen_image
        )
        guidance.begin(self.prior, self.adapter, prompts)
        self._terms: list[Term] = [guidance]
        if self.adapter is not None:
            self._adaptation = self.adaptation(self._assets)
            self._terms.append(self._adaptation)
            if int(self.asset_of[0]) < 0:
                adapt_ahead(self._adaptation, self.trainer, self.weight_decay)
        if int(self.asset_of[0]) < 0:  # not from a checkpoint
            on_all = self.warmup.start_on_assets
            starts = self._assets.meshes if on_all else self._assets.starts
            start_particles(self.particles, starts, self.seed)
            particles = [self.particle(index) for index in range(len(self.particles))]
            size = self.cameras.size_at(0)
            self.asset_of.copy_(self.warmup.assign(particles, self._assets, size, self.device))
        asset_of: list[int] = self.asset_of.tolist()  # a step waits for no GPU
        self._attraction = Attraction(self.warmup, self._assets, asset_of, self.pulls)
        self.poses = self._poses()
        if self.poses is not None and "poses" in restored:
            self.poses.load_state(restored["poses"])

    def _poses(self) -> Poses | None:
        num = len(self.particles)
        return self.uniform_poses.begin(self._assets, num, self.seed, self.turns.steps_a_round)

    def adaptation(self, assets: RetrievedAssets) -> Adaptation:
        """What teaches the light adapter the views of some assets."""
        assert self.adapter is not None
        schedule, prompting = self.adaptation_schedule, self.prompting
        return Adaptation(
            self.prior, self.adapter, assets, schedule, self.seed, prompting, self.pictures
        )

    @property
    def stage(self) -> str:
        """What the run is doing, for the progress bar."""
        if self.global_step < self.warmup.steps:
            return "warm-up"
        adapting = self.adapter is not None and not self.adapter.stopped(self.global_step)
        return "distil and adapt" if adapting else "distil"

    def on_train_batch_start(self, batch: int, batch_idx: int) -> None:
        """Every ``held_out_period`` steps, the held-out views decide on stopping early.

        Not at the end of the step before: a checkpoint may have been written there already.
        """
        step, self.held_out_losses = self.global_step, {}
        if self.adapter is None or step == 0 or self.adapter.stopped(step - 1):
            return
        if step % self.adaptation_schedule.held_out_period == 0:
            loss = self.trainer.strategy.broadcast(self._adaptation.held_out_loss())
            self.adapter.observe(loss)
            self.held_out_losses = {"held_out": loss}
            self.log("held_out", loss)

    def validation_step(self, batch: int, batch_idx: int) -> None:
        """Nothing: callbacks preview, measure and export the particles."""

    test_step = predict_step = validation_step

    def on_predict_start(self) -> None:
        """The poses that are shown are judged as in training, by the same classifier."""
        with torch.inference_mode(False):  # the classifier is fitted
            self.poses = self._poses()

    on_test_start = on_predict_start

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """One AdamW with named groups: theta per particle, omega, e_psi, zeta."""
        optimizer, scheduler = make_optimizer(
            [self.particle(index) for index in range(len(self.particles))],
            [self.adapter, self.variational],
            self.learning_rate_scale.at,
            self.weight_decay,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_train_end(self) -> None:
        """The end is in a checkpoint, too."""
        checkpoints.save_last_step(self.trainer)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Particles keep the assets that they had, and the guidance what it had scored."""
        num = len(self.particles)
        require_restorable(checkpoint, self, self.trainer, self.uniform_poses, num)
        self.guidance.load_state(checkpoint.get("guidance", {}))
        self._restored = checkpoint

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leaves the frozen prior out: adapters are saved under their own names."""
        state = checkpoint["state_dict"]
        for key in [key for key in state if checkpoints.is_frozen(key)]:
            del state[key]
        checkpoints.mark_random_keys(checkpoint)
        checkpoints.mark_origin(checkpoint, self.trainer, self.seed)
        kept = self.guidance.state()
        if self.guidance.num_fits > 1:  # what it keeps is of particles
            kept = self.processes.gather_own(kept)
        if kept:
            checkpoint["guidance"] = kept
        if self.poses is not None:
            checkpoint["poses"] = self.poses.state()
