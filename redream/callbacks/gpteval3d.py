"""Pictures for GPTEval3D (Wu et al., 2024): 120 views in colour and as normals, in its layout."""

from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from redream import cameras
from redream.export.report import write_json
from redream.export.turntable import over_white, render_views, write_png
from redream.method.seen import data_of, particles_of
from redream.plain_data import read_json
from redream.representations.base import Representation
from redream.training.parallel import gather_particles
from redream.types import Views


class GPTEval3D(Callback):
    """Writes ``methods/METHOD/PROMPT-ID/SEED/rgb_0.png ...`` and ``normal_0.png ...``.

    Runs after ``redream fit`` and ``redream predict``. Cameras stand as in threestudio's test
    set: 120 azimuths from 0 to 360 degrees with both ends, so that the last view is the first one
    again. Normals are coloured as threestudio's: (n + 1) / 2 in its world, where x points to the
    front, y to the right of who looks at it and z up, black where nothing is.

    Args:
        folder: The root of a GPTEval3D data folder; ``prompts.json`` is made or completed there.
        method: The method's name.
        seed: The name of the first particle's folder; particle i gets ``seed + i``.
        num_views: Views.
        size: Height and width of a picture in pixels.
        elevation_deg: Elevation of the cameras.
        distance: Distance of the cameras.
        fovy_deg: Vertical field of view of the cameras.
    """

    def __init__(
        self,
        folder: Path,
        method: str = "redream",
        seed: int = 0,
        num_views: int = 120,
        size: int = 512,
        elevation_deg: float = 15.0,
        distance: float = 3.0,
        fovy_deg: float = 40.0,
    ) -> None:
        if num_views < 2 or size < 1:
            raise ValueError(f"num_views must be 2 or more and size 1, got {num_views} and {size}.")
        self.folder, self.method, self.seed, self.size = folder, method, seed, size
        ones = torch.ones(num_views)
        self.cameras = cameras.orbit(
            torch.linspace(0.0, 360.0, num_views),
            elevation_deg * ones,
            distance * ones,
            fovy_deg * ones,
        )

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes the pictures of what was generated."""
        self._write(trainer, pl_module)

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes the pictures of a checkpoint."""
        self._write(trainer, pl_module)

    def _write(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not gather_particles(trainer):
            return
        prompt_id = self._prompt_id(data_of(trainer).prompt)
        method = self.folder / "methods" / self.method / str(prompt_id)
        for index, particle in enumerate(particles_of(pl_module)):
            self._write_particle(particle, method / str(self.seed + index))

    def _prompt_id(self, prompt: str) -> int:
        """The prompt's place in ``prompts.json``, where new ones are added at the end."""
        path = self.folder / "prompts.json"
        prompts: list[str] = read_json(path.read_text("utf-8")) if path.is_file() else []
        if prompt not in prompts:
            prompts.append(prompt)
            write_json(prompts, path)
        return prompts.index(prompt)

    def _write_particle(self, particle: Representation, folder: Path) -> None:
        for i, views in enumerate(render_views(particle, self.cameras, self.size, normals=True)):
            write_png(over_white(views)[0], folder / f"rgb_{i}.png")
            write_png(normal_colours(views)[0].float(), folder / f"normal_{i}.png")


def normal_colours(views: Views) -> Tensor:
    """Normals as threestudio colours them, ``B 3 H W`` in [0, 1]: its x is our z, its y our x."""
    turned = views.normal[:, [2, 0, 1]]
    return (turned + views.opacity) / 2.0
