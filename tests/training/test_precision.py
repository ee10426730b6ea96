"""A run in mixed precision is the run in 32 bits, but for the rounding."""

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from toy_runs import DiscData, make_module, make_trainer

from redream.method.warmup import Warmup
from redream.training.limits import require_workable


class Losses(Callback):
    """Remembers the losses of every step."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.steps.append({name: float(value) for name, value in pl_module.losses.items()})


def test_bf16_mixed_follows_32_bits(sd_folders, tmp_path):
    runs = []
    for precision in ("32-true", "bf16-mixed"):
        losses, module = Losses(), make_module(sd_folders["epsilon"], warmup=Warmup(steps=2))
        trainer = make_trainer(tmp_path / precision, 4, [losses], precision=precision)
        require_workable(trainer, 2, 2)
        trainer.fit(module, DiscData())
        runs.append(losses.steps)
    plain, mixed = runs
    assert [step.keys() for step in plain] == [step.keys() for step in mixed]
    for one, other in zip(plain, mixed, strict=True):
        assert torch.tensor(list(other.values())).isfinite().all()
        for name in one.keys() - {"guidance"}:
            assert other[name] == pytest.approx(one[name], rel=0.02), name
        # Eq. 2 is a difference of two predictions, of which rounding leaves a little.
        assert other["guidance"] == pytest.approx(one["guidance"], rel=0.15, abs=0.5)
    assert max(step["guidance"] for step in plain) > 5.0
    assert {each.dtype for each in module.parameters()} == {torch.float32}
