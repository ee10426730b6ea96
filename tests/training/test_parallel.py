"""One process and two make the same particles, from one checkpoint."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import spawning
import torch
from lightning.pytorch.strategies import FSDPStrategy, SingleDeviceStrategy
from toy_runs import DiscData, make_module, make_trainer

from redream.training.limits import require_uncompiled, require_workable
from redream.training.processes import Processes

pytestmark = [
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint"),  # as the command does
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`"),
]


def load(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def chain(sd_folders, tmp_path_factory):
    """Six steps in one process; and 2 in one, 2 in two until Ctrl-C, 2 in one."""
    root, prior = tmp_path_factory.mktemp("chain"), sd_folders["epsilon"]
    make_trainer(root / "whole", 6).fit(make_module(prior), DiscData())
    make_trainer(root / "first", 2).fit(make_module(prior), DiscData())
    checkpoint = root / "first" / "checkpoints" / "last.ckpt"
    script = Path(__file__).with_name("toy_runs.py")
    done = spawning.script(script, prior, root / "second", 4, checkpoint)  # it starts another
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-3000:]
    checkpoint = root / "second" / "checkpoints" / "last.ckpt"
    make_trainer(root / "third", 6).fit(make_module(prior), DiscData(), ckpt_path=str(checkpoint))
    return root


def test_any_number_of_processes_makes_the_same_particles(chain):
    """Up to the order of sums, that is: Adam makes steps of tiny gradients that differ in sign."""
    whole, parts = load(chain / "whole"), load(chain / "third")
    assert whole["global_step"] == parts["global_step"] == 6
    assert whole["state_dict"].keys() == parts["state_dict"].keys()
    for key, expected in whole["state_dict"].items():
        if isinstance(expected, torch.Tensor) and expected.is_floating_point():
            far = (expected - parts["state_dict"][key]).abs() > 1e-4 * (1 + expected.abs())
            assert far.float().mean() < 0.02, key
        else:
            same = torch.equal if isinstance(expected, torch.Tensor) else dict.__eq__
            assert key.endswith("_extra_state") or same(expected, parts["state_dict"][key]), key
    steps = [
        {key: int(each["step"]) for key, each in run["optimizer_states"][0]["state"].items()}
        for run in (whole, parts)
    ]
    assert steps[0] == steps[1] and max(steps[0].values()) == 6
    stop = "adapter.early_stopping._extra_state"
    assert whole["state_dict"][stop]["best"] == pytest.approx(parts["state_dict"][stop]["best"])


def test_an_interrupted_run_of_two_processes_saves_all_particles_and_their_optimiser(chain):
    alone, together = load(chain / "first"), load(chain / "second")
    assert together["global_step"] == 4
    states = [each["optimizer_states"][0]["state"] for each in (alone, together)]
    assert states[0].keys() == states[1].keys()
    for index in range(2):
        key = f"particles.{index}.field.grid.table"
        assert not torch.equal(alone["state_dict"][key], together["state_dict"][key])
    seen = [float(each) for each in (chain / "second" / "seen.txt").read_text().split()]
    norms = [
        float(together["state_dict"][f"particles.{i}.field.grid.table"].norm()) for i in (0, 1)
    ]
    assert seen == pytest.approx(norms)


@pytest.mark.parametrize("num", [1, 2, 4])
def test_every_particle_and_every_row_has_one_process(num):
    all_of_them = [Processes(rank, num) for rank in range(num)]
    for step in range(3):  # four of eight take turns
        active = [(4 * step + i) % 8 for i in range(4)]
        owned = [each.own(active) for each in all_of_them]
        assert sorted(sum(owned, [])) == sorted(active)
        assert {len(each) for each in owned} == {4 // num}
    rows = [list(range(8))[each.share(8)] for each in all_of_them]
    assert sorted(sum(rows, [])) == list(range(8))
    assert all(each.share(9) == slice(None) for each in all_of_them if num > 1)


def trainer_with(**options):
    defaults = dict(
        strategy=make_trainer("/nowhere", 1).strategy, precision="32-true",
        accumulate_grad_batches=1, num_devices=1, num_nodes=1, gradient_clip_val=None,
        gradient_clip_algorithm=None,
    )  # fmt: skip
    return SimpleNamespace(**(defaults | options))


@pytest.mark.parametrize(
    ("options", "num", "said"),
    [
        (dict(strategy=FSDPStrategy()), 2, "FSDPStrategy cannot work"),
        (
            dict(strategy=SingleDeviceStrategy("mps")),
            2,
            "not on mps: use --trainer",
        ),
        (dict(precision="16-mixed"), 2, "--model.prior.init_args.dtype bfloat16"),
        (dict(accumulate_grad_batches=2), 2, "--model.cameras.num_views"),
        (dict(num_devices=2), 3, "3 particles .* cannot be divided among 2 processes"),
        (dict(num_devices=2, num_nodes=2), 2, "among 4 processes"),
        (dict(num_devices=2, gradient_clip_val=1.0), 2, "norm over all particles"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(options, num, said):
    with pytest.raises(ValueError, match=said) as error:
        require_workable(trainer_with(**options), num, num)
    assert "\n" not in str(error.value)


def test_particles_that_take_turns_are_divided_too():
    with pytest.raises(ValueError, match="1 particles a step"):
        require_workable(trainer_with(num_devices=2), 4, 1)
    require_workable(trainer_with(num_devices=2), 4, 2)
    require_workable(trainer_with(gradient_clip_val=1.0), 3, 1)


def test_a_compiled_module_is_refused(sd_folders):
    module = make_module(sd_folders["epsilon"])
    require_uncompiled(module)
    compiled = torch.compile(module)
    with pytest.raises(ValueError, match="torch.compile cannot work"):
        make_trainer("/nowhere", 1).fit(compiled, DiscData())
