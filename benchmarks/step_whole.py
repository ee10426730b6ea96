"""The whole step of ReDream: rendering, encoding, VSD, adaptation, correction, the optimiser."""

import statistics
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from redream.adapters import LightAdapter
from redream.cameras import concatenate, sample_cameras
from redream.method.adaptation import AdaptationSchedule
from redream.method.cameras import CameraSampler
from redream.method.guidance import VSD
from redream.method.module import ReDream
from redream.method.warmup import Warmup
from redream.priors import StableDiffusionPrior
from redream.representations import NeRF
from redream.types import Cameras, References, Views, key_generator

PARTS = {
    "_draw": "render and encode",
    "_denoising_losses": "train zeta and omega",
    "_gradients": "score",
}
"""The module's methods, and what they do; the asset's encoding for App. B is in the last."""


class Picture:
    """Three retrieved assets: each a grey picture from everywhere."""

    prompt = "a striped corgi"
    starts = ()

    def __init__(self, size: int, device: torch.device) -> None:
        self.device = device
        cameras = concatenate([sample_cameras(10, key_generator("benchmark", i)) for i in range(3)])
        rgba = torch.full((30, 4, size, size), 0.5)
        index = torch.arange(3).repeat_interleave(10)
        self.references = References(rgba, cameras, ("a dog", "a corgi", "a view"), index)

    def render_asset(self, index: int, cameras: Cameras, height: int, width: int) -> Views:
        """The picture."""
        grey = torch.full((cameras.num, 3, height, width), 0.5, device=self.device)
        return Views(grey, grey[:, :1], grey[:, :1], grey, {})


class Whole:
    """``ReDream.training_step`` with everything on, one particle of the default NeRF.

    Args:
        prior: A prior without adapters.
        now: The time in seconds.
        peak_mb: Measures the memory of a call.
        particle: Makes the particle from a seed.
        cameras: Ranges of the views; the sampler's own by default.
    """

    def __init__(
        self,
        prior: StableDiffusionPrior,
        now: Callable[[], float],
        peak_mb: Callable[[Callable[[], None]], float | None],
        particle: Callable[[int], NeRF] = NeRF,
        cameras: dict[str, Any] | None = None,
    ) -> None:
        self.now, self.peak_mb, self.ranges = now, peak_mb, cameras or {}
        self.module = ReDream(
            prior,
            particle,
            VSD(),
            LightAdapter(max_steps=None),
            num_particles=1,
            adaptation=AdaptationSchedule(batch_size=1),
            warmup=Warmup(steps=1000),
        ).to(prior.device)
        module: Any = self.module
        assets = Picture(64, prior.device)
        module._trainer = SimpleNamespace(datamodule=assets, global_step=0, current_epoch=0)
        module._fabric = None
        module.log_dict = module.log = lambda *_, **__: None
        module.setup("fit")
        module.on_fit_start()
        self.optimizer: Any = module.configure_optimizers()["optimizer"]
        self.parts: dict[str, float] = {}
        for method, part in PARTS.items():
            setattr(module, method, self._timed(part, getattr(module, method)))

    def measure(self, render_size: int, share_noise: bool, rounds: int) -> dict[str, Any]:
        """Seconds of a step, a mean over three of which one is corrected (App. B), by part."""
        self.module.cameras = CameraSampler(render_size=render_size, **self.ranges)
        self.module.guidance.share_noise = share_noise  # type: ignore[attr-defined]
        peak, seconds = self.peak_mb(self._three_steps), []
        self.parts.clear()
        for _ in range(rounds):
            begin = self.now()
            self._three_steps()
            seconds.append((self.now() - begin) / 3)
        parts = {name: value / 3 / rounds for name, value in self.parts.items()}
        return {"seconds": statistics.median(seconds), "parts": parts, "peak_mb": peak}

    def _three_steps(self) -> None:
        for step in range(3):
            self.module._trainer.global_step = step  # type: ignore[union-attr]
            self.optimizer.zero_grad()
            loss = self.module.training_step(0, step)
            self._timed("backward", loss.backward)()
            self._timed("optimiser", self.optimizer.step)()

    def _timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:  # noqa: ANN401
            begin = self.now()
            answer = call(*arguments)
            self.parts[part] = self.parts.get(part, 0.0) + self.now() - begin
            return answer

        return timed
