"""Steps that are not finite change nothing, are counted, and end the run when there are many."""

from dataclasses import replace

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from toy_runs import DiscData, make_module, make_trainer


class Spoiling(Callback):
    """Makes a particle's rendering, or one gradient, not finite at some steps."""

    def __init__(self, steps, what):
        self.steps, self.what, self.states = steps, what, []

    def on_train_batch_start(self, trainer, pl_module, *_):
        is_due = trainer.global_step in self.steps
        sigma = 0.0 if is_due and self.what == "loss" else 0.05
        pl_module._attraction.warmup = replace(pl_module.warmup, sigma=sigma)
        self.states.append(weights(pl_module))

    def on_after_backward(self, trainer, pl_module):
        if trainer.global_step in self.steps and self.what == "gradient":
            pl_module.particles[1].field.grid.table.grad[0] = float("nan")


def weights(module):
    return {k: v.detach().clone() for k, v in module.named_parameters() if "prior" not in k}


def same(one, other):
    return all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize(
    ("what", "said"),
    [("loss", "the loss warmup"), ("gradient", "the gradient of theta_1.grid")],
)
def test_a_step_that_is_not_finite_is_skipped(sd_folders, tmp_path, what, said):
    module, spoiling = make_module(sd_folders["epsilon"]), Spoiling({1}, what)
    trainer = make_trainer(tmp_path, 3, [spoiling])
    with pytest.warns(RuntimeWarning, match=f"step 1 is skipped: {said} not finite"):
        trainer.fit(module, DiscData())
    before, at, after = spoiling.states
    assert same(at, after) and not same(before, at)
    assert not same(after, weights(module)) and trainer.global_step == 3
    assert trainer.callback_metrics["skipped"] == 1
    assert all(value.isfinite().all() for value in weights(module).values())


@pytest.mark.filterwarnings("ignore:step . is skipped")
def test_too_many_end_the_run_with_a_diagnosis_and_the_last_good_checkpoint(sd_folders, tmp_path):
    module = make_module(sd_folders["epsilon"], max_skipped_steps=2)
    trainer = make_trainer(tmp_path, 9, [Spoiling({2, 3, 4, 5}, "loss")])
    with pytest.raises(ValueError, match="step 4: the loss warmup not finite") as error:
        trainer.fit(module, DiscData())
    message = str(error.value)
    assert (
        "\n" not in message and "--ckpt_path last" in message and "--model.warmup.sigma" in message
    )
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    mine = weights(module)
    assert same(mine, {key: state["state_dict"][key] for key in mine})


@pytest.mark.filterwarnings("ignore:step . is skipped")
def test_weights_that_are_spoilt_are_not_saved_over_good_ones(sd_folders, tmp_path):
    class Breaking(Callback):
        def on_train_batch_start(self, trainer, pl_module, *_):
            if trainer.global_step == 2:
                with torch.no_grad():
                    pl_module.particles[0].field.grid.table.fill_(float("nan"))

    module = make_module(sd_folders["epsilon"], max_skipped_steps=1)
    with (
        pytest.warns(RuntimeWarning, match="is not saved, as particles.0"),
        pytest.raises(ValueError, match="not finite"),
    ):
        make_trainer(tmp_path, 9, [Breaking()]).fit(module, DiscData())
    kept = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == 2
    assert kept["state_dict"]["particles.0.field.grid.table"].isfinite().all()
