"""How much of the prior a run has used: passes of its network, counted and limited."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
from jaxtyping import Float
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from redream.export.report import write_json
from redream.method.guidance import Guidance
from redream.method.seen import seen
from redream.training.form import require_form
from redream.types import NoisyRows


class Budget(Callback):
    """Counts how often a training sends a picture through the denoiser, and ends it at a limit.

    A pass is one noisy latent through the network, whichever adapter it wears: once where only its
    answer is asked for, twice where gradients flow back through the network, for the way back
    costs about as much. That is the unit in which methods of different losses cost the same. Each
    process counts its own; what is learned before the first step is not counted, since it may be
    found in a cache. What was used is written to ``budget.json`` when training ends:
    ``passes``, ``unet_samples`` (without the ways back) and ``unet_calls`` in all, and as ``curve``
    after every so many steps.

    Args:
        max_passes: Ends the training after the step that reaches so many passes; None never.
        max_seconds: Ends it after so much time of training; None never.
        record_every_n_steps: Steps between points of the curve.
    """

    def __init__(
        self,
        max_passes: int | None = None,
        max_seconds: float | None = None,
        record_every_n_steps: int = 10,
    ) -> None:
        if (max_passes is not None and max_passes < 1) or (max_seconds or 1.0) <= 0.0:
            raise ValueError(
                f"a budget must be positive, got {max_passes} passes and {max_seconds} seconds."
            )
        if record_every_n_steps < 1:
            raise ValueError(f"record_every_n_steps must be positive, got {record_every_n_steps}.")
        self.max_passes, self.max_seconds = max_passes, max_seconds
        self.record_every_n_steps = record_every_n_steps
        self.num_passes, self.num_samples, self.num_calls, self.seconds = 0, 0, 0, 0.0
        self.curve: list[dict[str, float]] = []
        self._last = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Listens to the priors."""
        self._last = time.monotonic()
        for prior in _priors(pl_module):
            prior.predict_noise = self._counted(prior.predict_noise)  # type: ignore[assignment, arg-type]

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        *_: Any,  # noqa: ANN401
    ) -> None:
        """Takes note of what is used, and ends the training when the budget is spent."""
        now = time.monotonic()
        self.seconds, self._last = self.seconds + now - self._last, now
        if trainer.global_step % self.record_every_n_steps == 0:
            self.curve.append(self._used(trainer.global_step))
        if self.max_passes is None and self.max_seconds is None:
            return
        spent = self.max_passes is not None and self.num_passes >= self.max_passes
        late = self.max_seconds is not None and self.seconds >= self.max_seconds
        # all processes end after the same step, the one in which the first has spent its own
        ends = trainer.strategy.reduce_boolean_decision(spent or late, all=False)
        trainer.should_stop = trainer.should_stop or ends

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes what was used, and lets the priors go."""
        for prior in _priors(pl_module):
            prior.__dict__.pop("predict_noise", None)
        if trainer.is_global_zero:
            used: dict[str, Any] = self._used(trainer.global_step) | {"curve": self.curve}
            write_json(used, Path(trainer.default_root_dir) / "budget.json")

    def _used(self, step: int) -> dict[str, float]:
        return {
            "passes": self.num_passes,
            "unet_samples": self.num_samples,
            "unet_calls": self.num_calls,
            "steps": step,
            "seconds": round(self.seconds, 2),
        }

    def state_dict(self) -> dict[str, Any]:
        """What was used so far, so that a resumed run goes on counting."""
        return {
            "num_passes": self.num_passes,
            "num_samples": self.num_samples,
            "num_calls": self.num_calls,
            "seconds": self.seconds,
            "curve": list(self.curve),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the count of an earlier session.

        Raises:
            ValueError: If it is none, or was made otherwise.
        """
        if "num_calls" not in state_dict:  # of a version that did not count the ways back
            raise ValueError(
                "the checkpoint's budget was counted without gradients: leave Budget out of this "
                "run's callbacks, or start it anew"
            )
        curve = state_dict.get("curve")
        num = len(curve) if isinstance(curve, list) else 0
        form = self.state_dict() | {"curve": [self._used(0)] * num}
        require_form(state_dict, form, "callbacks.Budget")
        self.num_passes = state_dict["num_passes"]
        self.num_samples = state_dict["num_samples"]
        self.num_calls = state_dict["num_calls"]
        self.seconds = state_dict["seconds"]
        self.curve = list(state_dict["curve"])

    def _counted(
        self, predict_noise: Callable[[NoisyRows], Float[Tensor, "B C h w"]]
    ) -> Callable[[NoisyRows], Float[Tensor, "B C h w"]]:
        def counted(rows: NoisyRows) -> Float[Tensor, "B C h w"]:
            predicted = predict_noise(rows)
            num = len(rows.latents)
            self.num_calls, self.num_samples = self.num_calls + 1, self.num_samples + num
            self.num_passes += 2 * num if predicted.requires_grad else num
            return predicted

        return counted


def _priors(pl_module: L.LightningModule) -> list[nn.Module]:
    module = seen(pl_module)
    guidance = getattr(module, "guidance", None)
    others = guidance.other_priors if isinstance(guidance, Guidance) else ()
    found = (module.prior, module.variational_prior, *others)
    return [prior for prior in dict.fromkeys(found) if isinstance(prior, nn.Module)]
