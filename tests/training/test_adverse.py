"""Whole runs on a computer that lacks something: they work, or end in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are Linux's"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def ended(sd_folders, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    script = Path(__file__).with_name("adverse_runs.py")
    kept = ("WARP_CACHE_PATH", "MPLCONFIGDIR")  # here they lie in the cache that is spoilt
    environment = {name: each for name, each in os.environ.items() if name not in kept}
    done = subprocess.run(
        [sys.executable, script, str(sd_folders["epsilon"]), str(root)],
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((root / "ended.json").read_text())


@pytest.mark.parametrize("name", ["nothing", "removed cache", "few files", "no shared memory"])
def test_what_is_made_again_or_not_needed(name, ended):
    if name not in ended:
        pytest.skip("it takes root")
    run = ended[name]
    assert run["status"] == 0, run["said"]
    assert {"report.html", "particle_0.glb", "checkpoints/last.ckpt"} <= set(run["files"])


def test_a_spoilt_cache_is_named(ended):
    run = ended["spoilt caches"]
    assert run["spoilt"] > 3 and run["status"] == 2, run["said"]
    assert "remove " in run["said"] and run["said"].strip().endswith("cache/warp")


@pytest.mark.parametrize("name", ["little memory", "read-only"])
def test_what_is_needed_is_said_in_a_line(name, ended):
    if name not in ended:
        pytest.skip("it takes root")
    run = ended[name]
    line = run["said"].strip().splitlines()[-1]
    assert run["status"] == 2, run["said"]
    assert line.startswith("redream: error: ") and "Traceback" not in run["said"], run["said"]
