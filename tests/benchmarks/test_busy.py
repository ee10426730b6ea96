"""A run's steps are timed beside busy processes, which end with it, and with nothing set for it."""

import time

import pytest

from benchmarks import busy
from redream.plugins import class_of, list_components

STUB = """
import json, os, pathlib, sys

assert not {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY"} & os.environ.keys()
assert "--trainer.max_steps=6" in sys.argv and "--model.seed=3" in sys.argv
folder = pathlib.Path(next(each.split("=")[1] for each in sys.argv if "root_dir" in each))
folder.mkdir()
ends = [0.0, 9.0, 18.0, 19.0, 21.0, 22.0]
(folder / "steps.json").write_text(json.dumps(ends))
"""


def test_a_step_is_the_median_after_the_first_three(monkeypatch):
    monkeypatch.setattr(busy, "COMMAND", STUB)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert busy.seconds_a_step(6, ["--model.seed=3"]) == 1.0


def test_busy_processes_work_and_end(monkeypatch):
    started = []
    real = busy.subprocess.Popen
    monkeypatch.setattr(
        busy.subprocess, "Popen", lambda *given: started.append(real(*given)) or started[-1]
    )
    with pytest.raises(KeyError), busy.busy(2):
        assert [each.poll() for each in started] == [None, None]
        raise KeyError
    assert all(each.poll() is not None for each in started)


def test_the_clock_is_a_callback_that_a_run_may_name(tmp_path, monkeypatch):
    plugin = tmp_path / "step_clock_of_a_test.py"
    plugin.write_text(busy.CLOCK)
    monkeypatch.setenv("REDREAM_PLUGINS", f"callbacks={plugin}:StepClock")
    found = [each for each in list_components("redream.callbacks") if each.name == "StepClock"]
    clock = class_of(found[0])()
    before = time.monotonic()
    clock.on_train_batch_end(None, None)
    assert before <= clock.ends[0] <= time.monotonic()
