import json
import socket

import pytest

from redream import cli
from redream.assets import hub
from redream.tools import computer, doctor
from redream.tools.computer import Finding


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """A hub that refuses the connection, and an empty cache."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setattr(hub.constants, "ENDPOINT", address)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("REDREAM_CACHE", str(tmp_path / "cache"))
    return address


def test_it_names_every_part_and_says_offline_plainly(capsys, offline, tmp_path):
    assert cli.main(["doctor", "--json"]) == 0
    found = {each["part"]: each for each in json.loads(capsys.readouterr().out)}
    for part in [*doctor.REQUIRED, *doctor.OPTIONAL, "GPU", "kernels", "memory", "disk"]:
        assert found[part]["state"] in ("ok", "missing", "low"), part
    assert all(each["cost"] for each in found.values() if each["state"] in ("missing", "low"))
    assert found["hub"]["found"].startswith(f"{offline}: offline: ")
    assert found["kernels"]["found"].startswith("Warp on cpu")
    assert found["cache"]["found"] == f"none yet at {tmp_path / 'cache'}"


def test_the_text_names_what_is_broken(capsys, monkeypatch):
    findings = [
        Finding("torch", "ok", "2.6"),
        Finding("peft", "broken", "missing", "ReDream needs it"),
    ]
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ok", "torch", "2.6"] and "costs: ReDream needs it" in lines[2]
    assert lines[-1] == "broken: peft"


def test_a_missing_package_is_found(monkeypatch):
    monkeypatch.setattr(doctor, "REQUIRED", ["no-such-package"])
    monkeypatch.setattr(doctor, "OPTIONAL", {"nor-this-one": "patience"})
    found = {each.part: each for each in doctor.examine()}
    assert found["no-such-package"].state == "broken"
    assert found["nor-this-one"] == Finding("nor-this-one", "missing", "not installed", "patience")


def test_a_check_that_fails_is_a_finding(monkeypatch):
    def broken():
        raise OSError("libcuda.so:\ncannot open")

    monkeypatch.setattr(computer, "gpu", broken)
    found = {each.part: each for each in doctor.examine()}
    assert found["GPU"] == Finding("GPU", "broken", "OSError: libcuda.so: cannot open")


def test_a_hub_that_does_not_answer_is_given_up(monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(hub.constants, "ENDPOINT", address)
        assert hub.hub_state(0.2).startswith("offline: ")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    assert hub.hub_state() == "switched off by HF_HUB_OFFLINE"


@pytest.mark.parametrize(("limit", "free"), [("max", 2048), ("1024", 924), ("10", 0)])
def test_memory_is_that_of_the_container(limit, free, tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 2 kB\n")
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text(f"{limit}\n")
    (group / "memory.current").write_text("100\n")
    assert computer.free_memory(tmp_path) == free
    assert computer.free_memory(tmp_path / "elsewhere") is None
