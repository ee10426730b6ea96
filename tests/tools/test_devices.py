import sys

import pytest

from redream.tools import devices
from redream.training.limits import num_processes


@pytest.mark.parametrize(
    ("num_devices", "num_particles", "per_step", "num"),
    [
        (1, 2, 2, 1),
        (2, 2, 2, 2),
        (3, 2, 2, 2),
        (2, 3, 3, 1),
        (8, 4, 2, 2),
        (4, 6, 6, 3),
        (0, 2, 2, 1),
    ],
)
def test_each_process_has_as_many_particles_to_train_as_the_others(
    num_devices, num_particles, per_step, num
):
    assert num_processes(num_devices, num_particles, per_step) == num


ASKED = {"devices": "auto", "strategy": "auto", "num_nodes": 1, "accelerator": "cpu"}


@pytest.fixture
def command(monkeypatch):
    typed = ["fit", "--config", "configs/default.yaml"]
    monkeypatch.setattr(sys, "argv", ["redream", *typed])
    monkeypatch.setattr(devices, "num_cores", lambda: 4)
    for name in devices._AMONG_OTHERS:
        monkeypatch.delenv(name, raising=False)
    return typed


def test_auto_shares_the_particles_among_the_cores_and_says_so(command, capsys, monkeypatch):
    assert devices.devices_of(ASKED, 2, 2, command) == {"devices": 2}
    said = capsys.readouterr().err
    assert said == "redream: 2 processes on 2 cores, 1 of 2 particles each\n"
    monkeypatch.setenv("LOCAL_RANK", "1")  # the others decide alike, in silence
    assert devices.devices_of(ASKED, 2, 2, command) == {"devices": 2}
    assert capsys.readouterr().err == ""
    assert devices.devices_of(ASKED, 1, 1, command) == {"devices": 1}


def test_gpus_are_shared_where_there_are_any(command, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    for accelerator in ("auto", "gpu", "cuda"):
        found = devices.devices_of(ASKED | {"accelerator": accelerator}, 4, 4, command)
        assert found == {"devices": 4}
    assert "4 processes on 4 GPUs" in capsys.readouterr().err
    assert devices.devices_of(ASKED, 4, 2, command) == {"devices": 2}  # the CPU was asked for


@pytest.mark.parametrize(
    "options", [{"devices": 1}, {"devices": 2}, {"num_nodes": 2}, {"strategy": "fsdp"}]
)
def test_what_was_asked_for_stays(command, capsys, options):
    assert devices.devices_of(ASKED | options, 2, 2, command) == {}
    assert capsys.readouterr().err == ""


def test_what_is_not_the_command_line_has_one_process(command):
    """Lightning would run the test or the notebook again."""
    assert devices.devices_of(ASKED, 2, 2, [*command, "--trainer.max_steps=3"]) == {}
    assert devices.devices_of(ASKED, 2, 2, ["predict"]) == {}
