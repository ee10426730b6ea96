"""How evenly the prior covers the viewpoints, raw and adapted, as a file of its own."""

from dataclasses import asdict
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback

from redream.export.report import write_json
from redream.method.seen import data_of, seen
from redream.metrics import ViewJudge, measure_prior


class MeasurePrior(Callback):
    """Writes ``view_balance.json`` after ``redream test``: the prior raw, and as it was adapted.

    Args:
        judge: Says which side a picture shows.
        num_samples: Pictures of each view, front, side and back.
        guidance_scale: Classifier-free guidance; the run's own, at its end, where None.
        seed: Draws the noise, the same for each view and for both priors.
    """

    def __init__(
        self,
        judge: ViewJudge,
        num_samples: int = 16,
        guidance_scale: float | None = None,
        seed: int = 0,
    ) -> None:
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}.")
        self.judge, self.num_samples = judge, num_samples
        self.guidance_scale, self.seed = guidance_scale, seed

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Samples the prior and has the pictures judged."""
        if not trainer.is_global_zero:
            return
        prompt, module = data_of(trainer).prompt, seen(pl_module)
        image = getattr(data_of(trainer), "image", None)
        scale = self.guidance_scale
        if scale is None:
            scale = module.guidance.last_scale
        asked = {"raw": None} | ({"adapted": module.adapter} if module.adapter else {})
        measured = {
            name: asdict(
                measure_prior(
                    module.prior,
                    prompt,
                    self.judge,
                    adapter,
                    self.num_samples,
                    scale,
                    self.seed,
                    image,
                )
            )
            for name, adapter in asked.items()
        }
        facts = {"prompt": prompt, "guidance_scale": scale, "num_samples": self.num_samples}
        write_json(facts | measured, Path(trainer.default_root_dir) / "view_balance.json")
