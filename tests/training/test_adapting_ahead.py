"""Runs that adapt the prior before their first step, alike whether it was found or made."""

import lightning as L
import pytest
import torch
from toy_runs import DiscData, make_module

from redream.adapters import LightAdapter
from redream.method.adaptation import AdaptationSchedule

pytestmark = pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Where adapters are kept."""
    monkeypatch.setenv("REDREAM_CACHE", str(tmp_path))
    return tmp_path / "adapters"


AHEAD = AdaptationSchedule(batch_size=2, ahead=True)


def run(sd_folder, path, num_steps, checkpoint=None, **arguments):
    """A run of the discs; the module afterwards."""
    module = make_module(sd_folder, **({"adaptation": AHEAD, "num_particles": 1} | arguments))
    trainer = L.Trainer(
        default_root_dir=path, max_steps=num_steps, accelerator="cpu", logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(module, DiscData(), ckpt_path=checkpoint)
    trainer.save_checkpoint(path / "last.ckpt")
    return module


def state(module, part):
    return {k: v for k, v in module.state_dict().items() if k.startswith(part) and v is not None}


def same(one, other, part):
    mine, theirs = state(one, part), state(other, part)
    tensors = [name for name, value in mine.items() if torch.is_tensor(value)]
    return len(tensors) > 0 and all(torch.equal(mine[name], theirs[name]) for name in tensors)


def test_a_run_adapts_ahead_and_the_second_ends_alike_to_the_bit(
    sd_folder, cache, tmp_path, capsys
):
    first = run(sd_folder, tmp_path / "first", 3)
    assert first.adapter.stopped(0) and first.stage == "warm-up"
    assert "adapter" not in first.losses and len(list(cache.iterdir())) == 1
    second = run(sd_folder, tmp_path / "second", 3)
    assert "adapted to these assets before" in capsys.readouterr().err
    for part in ("adapter.", "particles.", "variational."):
        assert same(first, second, part)
    # the prior that particles met was the finished one: it does not change any more
    longer = run(sd_folder, tmp_path / "more", 5, tmp_path / "first" / "last.ckpt")
    assert same(longer, first, "adapter.") and not same(longer, first, "particles.")


def test_other_particles_and_longer_runs_find_the_same_adapter(sd_folder, cache, tmp_path):
    run(sd_folder, tmp_path / "one", 2, adapter=LightAdapter(max_steps=1))
    run(sd_folder, tmp_path / "two", 3, num_particles=2, adapter=LightAdapter(max_steps=1))
    assert len(list(cache.iterdir())) == 1


def test_a_run_goes_on_as_it_began(sd_folder, cache, tmp_path):
    """A checkpoint of one way is taken up by a configuration of the other."""
    beside = AdaptationSchedule(batch_size=2)
    joint = run(sd_folder, tmp_path / "joint", 2, adaptation=beside)
    goes_on = run(sd_folder, tmp_path / "on", 4, tmp_path / "joint" / "last.ckpt")
    assert "adapter" in goes_on.losses and not same(goes_on, joint, "adapter.")
    assert not cache.exists()
    ahead = run(sd_folder, tmp_path / "ahead", 2)
    goes_on = run(
        sd_folder, tmp_path / "off", 4, tmp_path / "ahead" / "last.ckpt", adaptation=beside
    )
    assert "adapter" not in goes_on.losses and same(goes_on, ahead, "adapter.")


def test_an_adapter_that_cannot_finish_learns_beside_the_particles(sd_folder, cache, tmp_path):
    class Endless(LightAdapter):
        finishes = False

    module = run(sd_folder, tmp_path, 2, adapter=Endless())
    assert "adapter" in module.losses
