"""The export: what a run leaves in its output folder."""

import time
import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
import torch
from jaxtyping import Float
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from redream import cameras
from redream.assets.attribution import model_extras, write_attribution
from redream.assets.formats import FormatName
from redream.export.asset_pictures import asset_pictures
from redream.export.charts import LossHistory
from redream.export.film import film_frames
from redream.export.models import ModelExport
from redream.export.peak_memory import peak_memory
from redream.export.report import (
    ParticlePage,
    Report,
    describe_model,
    write_json,
    write_report,
)
from redream.export.splat_formats import SplatFormatName
from redream.export.splat_page import page_bytes
from redream.export.turntable import render_over_white, write_film, write_png
from redream.measures import show_number
from redream.method.poses import Poses
from redream.method.seen import data_of, particles_of, seen
from redream.metrics.base import Metric, merge
from redream.metrics.prior_balance import sample_pictures
from redream.representations.base import Representation
from redream.retrieval.encoder import let_encoders_rest
from redream.signals import Stopped
from redream.training.form import require_form
from redream.training.parallel import gather_particles

_NUM_REPORT_VIEWS = 8


class Export(Callback):
    """Writes models, films, metrics, attribution, the adapter and ``report.html``.

    Runs when training ends, also by an error after the first step (then it writes what there is; a
    run that a signal ends leaves a checkpoint, and is exported by ``redream predict``), after
    ``redream predict`` and, metrics alone, after ``redream test``. Every file appears whole or not
    at all.

    Args:
        metrics: What to measure on each particle's turntable.
        formats: What to write models as: ``glb``, ``obj`` (with MTL and PNG), ``ply`` (colours by
            vertex), ``usd`` (a ``.usdz`` package; needs usd-core); of splats also ``ply_splats``,
            ``spz`` and ``spz_v4`` (need gsply), ``glb_splats`` (KHR_gaussian_splatting).
        surface_resolution: Cells along each axis of the grid that the surface is found on.
        num_faces: Most triangles of a model; its texture is baked after they are made fewer. None
            keeps what the surface has.
        texture_size: Texels along a side of each model's texture.
        size_m: Longest side of a model's bounding box in metres; models stand on the origin.
        num_frames: Pictures of a turntable, a multiple of 8.
        frames_per_second: Speed of the turntable film.
        frame_size: Height and width in pixels, even, of the turntable's pictures, which are what is
            measured.
        film_size: Height and width of the film in pixels, even; null takes the turntable's pictures
            as they are. A radiance field's film of another size is drawn from its textured model,
            which takes seconds where its own pictures take a minute.
        prior_samples: Pictures of the prompt that the prior itself is sampled for, raw as it was
            before the run; the report shows them beside each particle. They take 50 passes of the
            network each, which a large prior feels: 0, the default, samples none.
        prior_scale: Classifier-free guidance of these samples.
        elevation_deg: Elevation of the turntable's cameras.
        distance: Distance of the turntable's cameras.
        fovy_deg: Vertical field of view of the turntable's cameras.
        record_every_n_steps: Steps between points of the loss curves.
        unwrap: Whether to make new texture coordinates for a surface that still is your asset's,
            as that of ``Mesh`` is: ``true`` always, ``false`` never; null keeps the asset's own,
            with its materials' and nodes' names, where they can hold a texture.
        baking_size: Most pixels along a side of the views that a soft field's texture is taken
            from, a quarter of ``texture_size`` at most; null takes ``frame_size``, and 192 at
            least. Give the size that was trained.
    """

    def __init__(
        self,
        metrics: list[Metric] | None = None,
        formats: Sequence[FormatName | SplatFormatName] = ("glb",),
        surface_resolution: int = 80,
        num_faces: int | None = None,
        texture_size: int = 1024,
        size_m: float = 1.0,
        num_frames: int = 48,
        frames_per_second: int = 16,
        frame_size: int = 160,
        film_size: int | None = None,
        prior_samples: int = 0,
        prior_scale: float = 7.5,
        elevation_deg: float = 15.0,
        distance: float = 3.0,
        fovy_deg: float = 40.0,
        record_every_n_steps: int = 5,
        unwrap: bool | None = None,
        baking_size: int | None = None,
    ) -> None:
        if num_frames < 1 or num_frames % _NUM_REPORT_VIEWS:
            raise ValueError(f"num_frames must be a multiple of 8, got {num_frames}.")
        film_size = frame_size if film_size is None else film_size
        for name, size in {"frame_size": frame_size, "film_size": film_size}.items():
            if size < 2 or size % 2:
                raise ValueError(f"{name} must be an even number of pixels, got {size}.")
        if prior_samples < 0:
            raise ValueError(f"prior_samples must not be negative, got {prior_samples}.")
        if record_every_n_steps < 1:
            raise ValueError(f"record_every_n_steps must be positive, got {record_every_n_steps}.")
        self.metrics = metrics or []
        self.models = ModelExport(
            formats,
            surface_resolution,
            num_faces,
            texture_size,
            size_m,
            frame_size,
            unwrap,
            baking_size,
        )
        self.frames_per_second = frames_per_second
        self.frame_size, self.film_size = frame_size, film_size
        self.prior_samples, self.prior_scale = prior_samples, prior_scale
        self.cameras = cameras.turntable(num_frames, elevation_deg, distance, fovy_deg)
        self.losses = LossHistory(record_every_n_steps)
        self._steps = 0
        self._seconds = 0.0  # of training, over all sessions of a resumed run
        self._began: float | None = None
        self._samples: Sequence[Float[Tensor, "3 H W"]] | None = None
        self._has_run = False

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Tries formats, and metrics on white pictures: what they lack is known before hours."""
        if stage in ("fit", "test", "predict") and trainer.is_global_zero:
            for particle in particles_of(pl_module):
                self.models.require(particle)
            size = self.frame_size
            white = torch.ones(1, 3, size, size).expand(self.cameras.num, -1, -1, -1)
            self._measure(data_of(trainer).prompt, white)
            let_encoders_rest()

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock."""
        self._began = time.monotonic()
        self._has_run = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Samples the prior: its picture has been painted, and its encoders are still there."""
        self._samples = self._sampled(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        *_: Any,  # noqa: ANN401
    ) -> None:
        """Records the losses."""
        self._steps = trainer.global_step
        losses = seen(pl_module).losses
        # Lightning's metrics would keep the value of a loss that is no longer computed.
        self.losses.record(trainer.global_step, {**losses, "loss": sum(losses.values())})
        self.losses.add(trainer.global_step, seen(pl_module).held_out_losses)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Exports everything."""
        self._export(trainer, pl_module, interrupted=False)

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Exports everything from a checkpoint."""
        self._export(trainer, pl_module, interrupted=False)

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measures a checkpoint's particles and writes ``metrics.json``."""
        if trainer.is_global_zero:
            prompt, poses, measured = data_of(trainer).prompt, seen(pl_module).poses, []
            for particle in particles_of(pl_module):
                pictures = render_over_white(particle, self.cameras, self.frame_size)
                faces = self._faces(poses, pictures)[1]
                measured.append(merge([self._measure(prompt, pictures, particle), faces]))
            facts = {"prompt": prompt, "orbit": self._orbit(), "particles": measured}
            write_json(facts, Path(trainer.default_root_dir) / "metrics.json")

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Exports what there is when training was stopped; never hides why it stopped."""
        if isinstance(exception, Stopped):  # saved; what stopped it does not wait for an export
            return
        if self._has_run or self._began is None or trainer.global_step == 0:
            return
        try:
            self._export(trainer, pl_module, interrupted=True)
        except Exception as error:
            warnings.warn(f"The export was left unfinished: {error}", RuntimeWarning, stacklevel=1)

    def state_dict(self) -> dict[str, Any]:
        """Loss curves, training time and steps, so that a resumed run's report shows all of it."""
        curves = self.losses.state_dict()
        return {"losses": curves, "seconds": self._elapsed(), "steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the curves, the time and the steps of an earlier session.

        Raises:
            ValueError: If they are none.
        """
        names = state_dict.get("losses")
        form = {"losses": {}, "seconds": 0.0, "steps": 0}
        known = {"steps", *(names if isinstance(names, dict) else ())}
        require_form(state_dict, form, "callbacks.Export", known)
        self.losses.load_state_dict(state_dict["losses"])
        self._steps = state_dict.get("steps", 0)
        self._seconds = state_dict["seconds"]

    def _elapsed(self) -> float:
        return self._seconds + (time.monotonic() - self._began if self._began else 0.0)

    def _export(self, trainer: L.Trainer, pl_module: L.LightningModule, interrupted: bool) -> None:
        self._has_run = True
        if not gather_particles(trainer):
            return
        folder = Path(trainer.default_root_dir)
        data = data_of(trainer)
        _say(trainer, f"exporting to {folder}" + (" what there is so far" if interrupted else ""))
        seconds, assets = self._elapsed(), list(data.assets)
        extras = model_extras(data.prompt, assets)
        pages = [
            self._export_particle(i, particle, data.prompt, extras, folder, seen(pl_module).poses)
            for i, particle in enumerate(particles_of(pl_module))
        ]
        for i, page in enumerate(pages):
            if page.model:
                _say(trainer, f"particle {i}: {describe_model(page.model)}")
        pictures = asset_pictures(data.render_asset, len(assets))
        for i, picture in enumerate(pictures):
            write_png(picture, folder / "retrieval" / f"asset_{i}.png")
        write_attribution(data.prompt, assets, folder / "attribution.md")
        facts = {
            "steps": self._steps,  # ``predict`` has not trained, but its particles have
            "seconds": round(seconds, 1),
            "interrupted": interrupted,
        } | peak_memory()
        measured = [dict(page.measures) for page in pages]
        models = [dict(page.model) for page in pages]
        measures = {"prompt": data.prompt, **facts, "orbit": self._orbit()}
        measures |= {"particles": measured, "models": models, "assets": extras["attribution"]}
        write_json(measures, folder / "metrics.json")
        adapter = seen(pl_module).adapter
        if adapter is not None:
            adapter.save(folder / "adapter")
        config, image = folder / "config.yaml", folder / "image_prompt.png"
        if self._samples is None:  # nothing was trained here, so that no encoder is gone
            self._samples = self._sampled(trainer, pl_module)
        report = Report(
            prompt=data.prompt,
            summary=_summary(facts),
            particles=pages,
            assets=list(zip(assets, pictures, strict=True)),
            losses=self.losses.curves,
            samples=self._samples,
            config=config.read_text("utf-8") if config.is_file() else "",
            image=image.read_bytes() if image.is_file() else b"",
        )
        write_report(report, folder / "report.html")
        _say(trainer, f"open {folder / 'report.html'}")

    def _export_particle(
        self,
        index: int,
        particle: Representation,
        prompt: str,
        extras: Mapping[str, Any],
        folder: Path,
        poses: Poses | None,
    ) -> ParticlePage:
        pictures = render_over_white(particle, self.cameras, self.frame_size)
        model, note = None, ""
        try:
            model = self.models.write(particle, folder / f"particle_{index}", extras)
        except ValueError as error:  # no surface: the pictures still show what there is
            note = f"No model of particle {index}: {error}"
            warnings.warn(note, RuntimeWarning, stacklevel=1)
        frames = pictures
        if self.film_size != self.frame_size:
            frames = film_frames(particle, model, self.cameras, self.film_size)
        film = folder / f"turntable_{index}.mp4"
        write_film(frames, film, self.frames_per_second)
        splats = particle.gaussians() if model is None else model.splats
        stride = self.cameras.num // _NUM_REPORT_VIEWS
        front, faces = self._faces(poses, pictures)
        return ParticlePage(
            views=pictures[::stride],
            azimuth_deg=self.cameras.azimuth_deg[::stride],
            glb=None if model is None else model.glb,
            film=film.read_bytes(),
            measures=merge([self._measure(prompt, pictures, particle), faces]),
            model={} if model is None else model.facts,
            note=note,
            splats=None if splats is None else page_bytes(splats),
            front=front,
            front_arc_deg=360.0 / (4 if poses is None else poses.classifier.num_poses),
        )

    def _sampled(
        self, trainer: L.Trainer, pl_module: L.LightningModule
    ) -> Sequence[Float[Tensor, "3 H W"]]:
        """What the prior, raw as it was before the run, paints for the prompt; keyed by a seed.

        Nothing where it must be shown a picture and there is none: ``predict`` paints none anew.
        """
        if self.prior_samples == 0 or not trainer.is_global_zero:
            return ()
        data, prior = data_of(trainer), seen(pl_module).prior
        if prior.needs_image and data.image is None:
            return ()
        prompts = [data.prompt] * self.prior_samples
        return tuple(
            sample_pictures(prior, prompts, self.prior_scale, 0, image=data.image).float().cpu()
        )

    def _measure(
        self,
        prompt: str,
        pictures: Float[Tensor, "B 3 H W"],
        particle: Representation | None = None,
    ) -> dict[str, float]:
        """Measures pictures, and the particle's surface where a metric asks for it."""
        measured = [metric.measure(prompt, pictures, self.cameras) for metric in self.metrics]
        of_surfaces = [metric for metric in self.metrics if metric.needs_surface]
        if particle is not None and of_surfaces:
            try:
                surface = particle.extract_surface(self.models.surface_resolution)
            except ValueError:  # there is none, which is a measurement, too
                surface = torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long)
            measured += [metric.measure_surface(*surface) for metric in of_surfaces]
        return merge(measured)

    def _faces(
        self, poses: Poses | None, pictures: Float[Tensor, "B 3 H W"]
    ) -> tuple[list[tuple[float, float]], dict[str, float]]:
        """How surely a turntable shows the front by azimuth, and how many fronts that is."""
        if poses is None:
            return [], {}
        certainty = poses.front(pictures)
        azimuths = self.cameras.azimuth_deg.remainder(360.0)
        curve = list(zip(azimuths.tolist(), certainty.tolist(), strict=True))
        return curve, {"faces": float(certainty.mean()) * poses.classifier.num_poses}

    def _orbit(self) -> dict[str, float | str]:
        """Where the pictures that were measured are from."""
        return {
            "num_views": self.cameras.num,
            "elevation_deg": float(self.cameras.elevation_deg[0]),
            "distance": float(self.cameras.distance[0]),
            "fovy_deg": float(self.cameras.fovy_deg[0]),
            "size": self.frame_size,
            "background": "white",
        }


def _say(trainer: L.Trainer, message: str) -> None:
    if trainer.progress_bar_callback is not None:
        trainer.progress_bar_callback.print(message)


def _summary(facts: Mapping[str, float]) -> dict[str, str]:
    summary = {
        "steps": show_number(facts["steps"]),
        "training time": str(timedelta(seconds=round(facts["seconds"]))),
    }
    if "peak_memory_gib" in facts:
        summary["peak memory"] = f"{facts['peak_memory_gib']:.1f} GiB"
    if "peak_gpu_memory_gib" in facts:
        summary["peak memory of the GPU"] = f"{facts['peak_gpu_memory_gib']:.1f} GiB"
    if facts["interrupted"]:
        summary["ended"] = "early, as interrupted"
    return summary
