"""A run's seed: one option keys all that is drawn, wherever it is said."""

import subprocess
import sys

import pytest
import torch

from redream import configured
from redream.tools.sweep_run import plan
from redream.training.checkpoints import require_same_origin
from redream.types import drawing_from


def made(tmp_path, *arguments):
    where = f"--trainer.default_root_dir={tmp_path}"
    return configured("configs/default.yaml", "--model.num_particles=1", where, *arguments)


@pytest.fixture(autouse=True)
def _at_home(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


def numbers_of(model):
    """What is drawn when a run is made: its particle, and both adapters."""
    parts = (model.particles[0], model.adapter, model.variational)
    return [torch.cat([each.detach().flatten() for each in part.parameters()]) for part in parts]


def test_seed_everything_is_the_models_seed(tmp_path):
    first, again, other = (
        made(tmp_path, f"--seed_everything={seed}", "--model.guidance.class_path=VSD")
        for seed in (3, 3, 4)
    )
    assert [each.model.seed for each in (first, again, other)] == [3, 3, 4]
    for name, one, same, another in zip(
        ("particle", "omega", "zeta"),
        *(numbers_of(each.model) for each in (first, again, other)),
        strict=True,
    ):
        torch.testing.assert_close(one, same, rtol=0, atol=0, msg=name)
        assert not torch.equal(one, another), name


def test_a_seed_of_the_models_own_counts_more(tmp_path):
    own = made(tmp_path, "--seed_everything=3", "--model.seed=5").model
    (tmp_path / "c.yaml").write_text("model: {seed: 6}\n")
    in_file = made(tmp_path, f"--config={tmp_path / 'c.yaml'}", "--seed_everything=3").model
    without = made(tmp_path, "--seed_everything=false").model
    assert (own.seed, in_file.seed, without.seed) == (5, 6, 0)


def test_a_seed_that_is_said_nowhere_is_0_and_plain_python_needs_none(tmp_path):
    first = made(tmp_path).model
    torch.manual_seed(99)  # what else was drawn before changes nothing
    second = made(tmp_path).model
    assert first.seed == second.seed == 0
    for one, same in zip(numbers_of(first), numbers_of(second), strict=True):
        assert torch.equal(one, same)


def test_runs_of_a_sweep_are_seeds_apart(tmp_path):
    seeds = []
    for run in plan(["a dog"], 2, tmp_path, []):
        seeds.append(made(tmp_path, f"--seed_everything={run.seed}").model.seed)
    assert seeds == [0, 1]


def test_what_is_drawn_inside_is_keyed_and_nothing_outside_is():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with drawing_from("use", 1):
        first = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with drawing_from("use", 1):
        assert torch.equal(torch.rand(3), first)
    with drawing_from("use", 2):
        assert not torch.equal(torch.rand(3), first)


def test_the_config_of_a_run_says_its_seed(tmp_path):
    command = [sys.executable, "-m", "redream", "fit", "--config=configs/default.yaml"]
    command += ["--seed_everything=4", "--trainer.max_steps=0", "--model.num_particles=1"]
    command += [f"--trainer.default_root_dir={tmp_path}", "--trainer.callbacks=[]"]
    subprocess.run(command, check=True, capture_output=True)
    assert "\n  seed: 4\n" in (tmp_path / "config.yaml").read_text()


def test_a_run_does_not_go_on_with_another_seed_of_the_model():
    begun = {"redream": {"version": "0.1.0", "model_seed": 3}}
    require_same_origin(begun, model_seed=3)
    require_same_origin({"redream": {"version": "0.1.0", "seed": 3}}, model_seed=5)  # older
    with pytest.raises(
        ValueError, match=r"model_seed was 3, and here it is 5; give --model\.seed 3, or"
    ):
        require_same_origin(begun, model_seed=5)
