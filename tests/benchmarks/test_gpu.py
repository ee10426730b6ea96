"""The job of a card: what one part does cannot end the others, and the page says what it did."""

import json
import os
import sys
import time
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import gpu
from gpu_check import SHARE, shortened
from gpu_memory import verdicts
from gpu_parts import Part, run_in_turn

ROOT = Path(__file__).parents[2]
GRANDCHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1], "w").write(str(child.pid))
child.wait()
"""


def part(name, code, limit=20.0, is_json=True, arguments=()):
    command = [sys.executable, "-S", "-c", code, *map(str, arguments)]
    return Part(name, f"the {name}", command, limit, is_json)


def stubs(folder):
    return [
        part("good", 'print(\'chatter\'); print(\'{"ratio": 0.5, "rows": [{"a|b": true}]}\')'),
        part("broken", "import sys; print('{}'); sys.exit('no such kernel')"),
        part("slow", GRANDCHILD, limit=0.7, arguments=[folder / "pid"]),
        part("chatty", "print('2 passed')", is_json=False),
        part("mute", "pass"),
        part("garbled", "print('Done!')"),
    ]


def is_alive(pid):
    """Whether a process runs; one that nobody has asked for its exit code does not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_each_part_ends_as_it_does_and_the_page_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "parts", lambda *_: stubs(tmp_path))
    assert gpu.main(["--out", str(tmp_path / "out")]) == 1
    report = json.loads((tmp_path / "out" / "gpu.json").read_text())
    found = {name: each["state"] for name, each in report["parts"].items()}
    assert found == {
        "good": "done", "broken": "failed", "slow": "timed out", "chatty": "done",
        "mute": "failed", "garbled": "failed",
    }  # fmt: skip
    parts = report["parts"]
    assert parts["good"]["result"] == {"ratio": 0.5, "rows": [{"a|b": True}]}
    assert parts["chatty"]["result"] == "2 passed"
    assert parts["broken"]["reason"] == "exit code 1: no such kernel"
    assert parts["broken"]["result"] is None
    page = (tmp_path / "out" / "gpu.md").read_text()
    assert "| broken | the broken | failed |" in page and "Failed: exit code 1: no such" in page
    assert "| ratio | 0.5 |" in page and "| rows 1, a\\|b | yes |" in page
    assert "Timed out: it took more than 0.7 seconds" in page
    said = capsys.readouterr().err
    assert all(f"{name}: {state}, " in said for name, state in found.items())


@pytest.mark.skipif(os.name != "posix" or not Path("/proc").exists(), reason="looks into /proc")
def test_what_a_part_has_started_ends_with_it(tmp_path):
    (result,) = run_in_turn([part("slow", GRANDCHILD, 1.5, arguments=[tmp_path / "pid"])], 20, ROOT)
    assert result.state == "timed out"
    pid = int((tmp_path / "pid").read_text())
    for _ in range(50):
        if not is_alive(pid):
            return
        time.sleep(0.02)
    raise AssertionError("the grandchild lives")


def test_the_time_for_all_is_kept():
    parts = [part("first", "import time; time.sleep(60)"), part("second", "print('{}')")]
    first, second = run_in_turn(parts, 0.3, ROOT)
    assert (first.state, second.state) == ("timed out", "not started")
    assert "all parts were over" in second.reason and second.result is None


def test_all_parts_done_is_exit_code_0_and_only_known_parts_are_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "parts", lambda *_: stubs(tmp_path))
    assert gpu.main(["--out", str(tmp_path), "--only", "chatty"]) == 0
    assert list(json.loads((tmp_path / "gpu.json").read_text())["parts"]) == ["chatty"]
    with pytest.raises(SystemExit) as leaving:
        gpu.main(["--only", "nothing"])
    assert leaving.value.code == 2


@pytest.mark.parametrize("quick", [False, True])
def test_the_real_parts_are_scripts_that_are_there(quick):
    parts = gpu.parts("cuda", quick)
    for each in parts:
        assert each.command[1] == "-m" or Path(each.command[1]).is_file()
    assert len({each.name for each in parts}) == len(parts)


def test_phases_are_a_tenth_and_sizes_are_not():
    check = yaml.safe_load((ROOT / "configs" / "paper_check.yaml").read_text("utf-8"))
    short = shortened(check)
    assert short["trainer"]["max_steps"] == check["trainer"]["max_steps"] // SHARE == 60
    size = short["model"]["cameras"]["render_size"]
    assert size == {"start": 64, "end": 512, "begin_step": 40, "end_step": 40}
    assert short["model"]["warmup"]["steps"] == 10
    assert shortened({"steps": 0, "begin_step": 3}) == {"steps": 0, "begin_step": 1}


def test_memory_is_near_within_15_percent():
    record = json.loads((ROOT / "benchmarks" / "memory.json").read_text("utf-8"))
    name = "Stable Diffusion 2.1"
    first = verdicts(record, name, {64: 1e9, 512: 1e9})
    predicted = {size: 1e9 * first[f"views of {size} pixels"]["predicted_gb"] for size in (64, 512)}
    assert not first["within_15_percent"]
    for share, near in ((1.14, True), (0.86, True), (1.16, False), (0.84, False)):
        found = verdicts(record, name, predicted | {512: share * predicted[512]})
        assert found["within_15_percent"] is near
        assert found["views of 64 pixels"]["within_15_percent"]
