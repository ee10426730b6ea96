"""Checkpoints under faults: kills, damage, full disks, other configurations."""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from jsonargparse import ArgumentParser
from toy_runs import DiscData, make_module, make_trainer

from redream.method.guidance import SDS
from redream.method.warmup import Warmup
from redream.tools import run as tool
from redream.tools.lightning import ReDreamCLI
from redream.training.checkpoints import WholeCheckpoints

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint"),  # as the command does
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
]


def checkpoint(step, num=10):
    weights = {"particles.0.x": torch.full((num,), float(step))}
    return {"state_dict": weights, "global_step": step, "optimizer_states": []}


@pytest.fixture
def io():
    return WholeCheckpoints()


def test_the_checkpoint_before_stays_and_nothing_else_does(io, tmp_path):
    path = tmp_path / "new" / "last.ckpt"
    for step in (1, 2, 3):
        io.save_checkpoint(checkpoint(step), path)
    assert {each.name for each in path.parent.iterdir()} == {"last.ckpt", "previous-last.ckpt"}
    assert io.load_checkpoint(path)["global_step"] == 3
    assert io.load_checkpoint(path.with_name("previous-last.ckpt"))["global_step"] == 2


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(io, tmp_path, keep):
    path = tmp_path / "last.ckpt"
    for step in (1, 2):
        io.save_checkpoint(checkpoint(step, 1000), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.warns(RuntimeWarning, match=r"last\.ckpt is damaged: going on from .*previous"):
        assert io.load_checkpoint(path)["global_step"] == 1


def test_where_both_are_damaged_the_error_names_the_one_that_was_to_help(io, tmp_path):
    for name in ("last.ckpt", "previous-last.ckpt"):
        (tmp_path / name).write_bytes(b"cut short")
    with pytest.raises(ValueError, match=r"cannot read .*previous-last\.ckpt") as error:
        io.load_checkpoint(tmp_path / "last.ckpt")
    assert "\n" not in str(error.value)


def test_damage_inside_of_the_weights_is_noticed(io, tmp_path):
    path = tmp_path / "last.ckpt"
    for step in (1, 2):
        io.save_checkpoint(checkpoint(step, 1000), path)
    content = bytearray(path.read_bytes())
    content[content.index(torch.full((8,), 2.0).numpy().tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.warns(RuntimeWarning, match=r"last\.ckpt is damaged"):
        assert io.load_checkpoint(path)["global_step"] == 1


def test_what_cannot_be_read_is_said_in_a_line_with_what_else_there_is(io, tmp_path):
    path = tmp_path / "last.ckpt"
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        io.load_checkpoint(path)
    torch.save({"some": 1}, path)
    (tmp_path / "step=4.ckpt").touch()
    with pytest.raises(
        ValueError, match=r"no checkpoint of a run; beside it there is step=4\.ckpt"
    ):
        io.load_checkpoint(path)


def test_a_count_that_is_no_number_is_refused_in_a_line(io, tmp_path):
    path = tmp_path / "last.ckpt"
    loops = {
        "fit_loop": {"epoch_loop.batch_progress": {"total": {"completed": 3}, "is_last": True}}
    }
    torch.save(checkpoint(1) | {"loops": loops}, path)
    assert io.load_checkpoint(path)["loops"] == loops
    total = loops["fit_loop"]["epoch_loop.batch_progress"]["total"]
    for wrong in ("3", None, [torch.zeros(1)]):
        total["completed"] = wrong
        torch.save(checkpoint(1) | {"loops": loops}, path)
        with pytest.raises(ValueError, match=r"last\.ckpt: its loops hold no number"):
            io.load_checkpoint(path)


def test_a_checkpoint_executes_nothing(io, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "executed"),))

    torch.save(checkpoint(1) | {"bomb": Bomb()}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match="cannot read"):
        io.load_checkpoint(tmp_path / "last.ckpt", weights_only=False)
    assert not (tmp_path / "executed").exists()


def test_a_full_disk_is_said_and_the_old_checkpoint_is_intact(io, small_disk):
    path = small_disk / "last.ckpt"
    io.save_checkpoint(checkpoint(1, 100_000), path)
    with pytest.raises(OSError, match="[Nn]o space left on device; the one before is intact"):
        io.save_checkpoint(checkpoint(2, 200_000), path)
    assert io.load_checkpoint(path)["global_step"] == 1
    assert [each.name for each in small_disk.iterdir()] == ["last.ckpt"]


def test_a_disk_that_may_only_be_read_is_said(io, small_disk):
    path = small_disk / "last.ckpt"
    io.save_checkpoint(checkpoint(1), path)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OSError, match="Read-only file system; the one before is intact"):
        io.save_checkpoint(checkpoint(2), path)
    assert io.load_checkpoint(path)["global_step"] == 1


def test_going_on_with_another_configuration_is_refused(sd_folders, tmp_path):
    prior = sd_folders["epsilon"]
    make_trainer(tmp_path, 1).fit(make_module(prior), DiscData())
    path = str(tmp_path / "checkpoints" / "last.ckpt")
    for arguments, said in (
        (dict(num_particles=1), "particles.1.*is in the checkpoint alone"),
        (dict(num_particles=3), "particles.2.*is not in the checkpoint"),
        (dict(guidance=SDS()), "variational.*is in the checkpoint alone"),
    ):
        with pytest.raises(ValueError, match=said) as error:
            make_trainer(tmp_path, 2).fit(
                make_module(prior, **arguments), DiscData(), ckpt_path=path
            )
        assert "\n" not in str(error.value) and "config.yaml of its run" in str(error.value)


@pytest.mark.parametrize(("num_steps", "saved"), [(3, [3, 2]), (4, [4, 2])])
def test_the_last_step_is_in_the_last_checkpoint(num_steps, saved, sd_folders, tmp_path):
    """Where a period of two steps ends with it, and where it does not."""
    module = make_module(sd_folders["epsilon"])
    make_trainer(tmp_path, num_steps, save_every=2).fit(module, DiscData())
    names = ("last.ckpt", "previous-last.ckpt")
    found = [torch.load(tmp_path / "checkpoints" / each, weights_only=True) for each in names]
    assert [each["global_step"] for each in found] == saved
    for key, weight in module.particles.state_dict(prefix="particles.").items():
        assert torch.equal(weight, found[0]["state_dict"][key])


def test_particles_keep_their_assets(sd_folders, tmp_path):
    module = make_module(sd_folders["epsilon"], warmup=Warmup(assignment="nearest"))
    make_trainer(tmp_path, 1).fit(module, DiscData())
    path = tmp_path / "checkpoints" / "last.ckpt"
    state = torch.load(path, weights_only=True)
    state["state_dict"]["asset_of"] = torch.tensor([1, 0])
    torch.save(state, path)
    module = make_module(sd_folders["epsilon"], warmup=Warmup(assignment="nearest"))
    make_trainer(tmp_path, 2).fit(module, DiscData(), ckpt_path=str(path))
    assert module.asset_of.tolist() == [1, 0]


def test_a_named_checkpoint_that_is_torn_gives_way_to_the_one_before(io, tmp_path):
    path = tmp_path / "last.ckpt"
    for step in (1, 2):
        io.save_checkpoint(checkpoint(step), path)
    path.write_bytes(path.read_bytes()[:500])
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--ckpt_path")
    command = ArgumentParser(exit_on_error=False)
    command.add_subcommands().add_subcommand("predict", parser)
    cli = ReDreamCLI.__new__(ReDreamCLI)
    with pytest.warns(RuntimeWarning, match=r"last\.ckpt is damaged: going on from .*previous"):
        cli.parse_arguments(command, ["predict", f"--ckpt_path={path}"])
    assert cli.config.predict.ckpt_path == str(tmp_path / "previous-last.ckpt")


CLI = ["--config", str(ROOT / "configs" / "default.yaml"), "--trainer.accelerator=cpu"]


def test_nothing_is_exported_of_a_run_that_never_saved(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"--ckpt_path last: there is no last\.ckpt in"):
        tool.main("predict", [*CLI, f"--trainer.default_root_dir={tmp_path}", "--ckpt_path=last"])


def test_particles_that_the_processes_do_not_divide_are_refused_at_once(tmp_path):
    options = [f"--trainer.default_root_dir={tmp_path}", "--trainer.devices=2"]
    with pytest.raises(ValueError, match="3 particles .* cannot be divided among 2 processes"):
        tool.main("fit", [*CLI, *options, "--trainer.strategy=ddp", "--model.num_particles=3"])


def test_a_checkpoint_of_other_random_keys_says_so_in_one_line(sd_folders, tmp_path):
    make_trainer(tmp_path, 1).fit(make_module(sd_folders["epsilon"]), DiscData())
    path = tmp_path / "checkpoints" / "last.ckpt"
    state = torch.load(path, weights_only=True)
    assert state.pop("random_keys") == 2
    torch.save(state, path)  # as before the rule had a number
    with pytest.warns(RuntimeWarning, match="of step 1 .* keyed by rule 1, and rule 2") as caught:
        make_trainer(tmp_path, 2).fit(
            make_module(sd_folders["epsilon"]), DiscData(), ckpt_path=str(path)
        )
    assert all("\n" not in str(each.message) for each in caught)
    make_trainer(tmp_path, 2).validate(  # whoever only looks takes no random number
        make_module(sd_folders["epsilon"]), DiscData(), ckpt_path=str(path)
    )
