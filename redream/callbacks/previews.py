"""Contact sheets of the particles while they grow."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from redream import cameras
from redream.export.turntable import contact_sheet, render_over_white, write_png
from redream.method.seen import particles_of
from redream.training.parallel import gather_particles


class Previews(Callback):
    """Writes ``previews/step_000100.png``: a row per particle, a column per azimuth.

    Previews are also written by ``redream validate``.

    Args:
        every_n_steps: Steps between sheets; 0 writes none while training.
        num_views: Azimuths, equally spaced, starting at the front.
        size: Height and width of each picture in pixels.
        elevation_deg: Elevation of the cameras.
        distance: Distance of the cameras.
        fovy_deg: Vertical field of view of the cameras.
    """

    def __init__(
        self,
        every_n_steps: int = 100,
        num_views: int = 8,
        size: int = 96,
        elevation_deg: float = 15.0,
        distance: float = 3.0,
        fovy_deg: float = 40.0,
    ) -> None:
        if every_n_steps < 0 or num_views < 1 or size < 1:
            raise ValueError(
                "Previews need every_n_steps >= 0, num_views >= 1 and size >= 1, got "
                f"{every_n_steps}, {num_views} and {size}."
            )
        self.every_n_steps = every_n_steps
        self.size = size
        self.cameras = cameras.turntable(num_views, elevation_deg, distance, fovy_deg)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        *_: Any,  # noqa: ANN401
    ) -> None:
        """Writes a sheet when its step has come."""
        if self.every_n_steps and trainer.global_step % self.every_n_steps == 0:
            self._write(trainer, pl_module)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes a sheet after ``redream validate``."""
        if not trainer.sanity_checking:
            self._write(trainer, pl_module)

    def _write(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not gather_particles(trainer):
            return
        particles = particles_of(pl_module)
        rows = [render_over_white(particle, self.cameras, self.size) for particle in particles]
        name = f"step_{trainer.global_step:06d}.png"
        write_png(contact_sheet(rows), Path(trainer.default_root_dir) / "previews" / name)
