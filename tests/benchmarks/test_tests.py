"""The seconds of tests: theirs, and those of the processes that they start."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "tests.py"
BURN = "import time\nwhile time.process_time() < 0.4: pass"
TESTS = f"""
import subprocess, sys

def test_waits_for_a_process():
    subprocess.run([sys.executable, "-S", "-c", {BURN!r}], check=True)

def test_does_nothing():
    pass
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
def test_what_a_process_took_counts_for_the_test_that_waited_for_it(tmp_path):
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, SCRIPT, "test_it.py", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.strip("| ") for line in done.stdout.splitlines() if line.startswith("| ")]
    pairs = [line.rsplit(" | ", 1) for line in lines if not line.endswith("CPU s")]
    taken = {name.strip("`"): float(seconds) for name, seconds in pairs}
    assert taken["test_it.py::test_waits_for_a_process"] >= 0.3
    assert taken["test_it.py::test_does_nothing"] < taken["test_it.py::test_waits_for_a_process"]
    assert taken["test_it.py"] >= 0.3 and taken["all"] >= taken["test_it.py"]
