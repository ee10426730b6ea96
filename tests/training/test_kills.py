"""Runs that die by SIGKILL and go on end as the run that was left alone, to the bit."""

import os
import sys
from pathlib import Path

import pytest
import spawning

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
from kills import first_difference  # noqa: E402

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")


def test_a_run_that_is_killed_thrice_ends_as_the_one_that_was_left_alone(sd_folders, tmp_path):
    """In a checkpoint, in a step and in the export; also its random numbers are the same."""
    script = Path(__file__).with_name("killed_runs.py")
    done = spawning.script(script, sd_folders["epsilon"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert first_difference(whole / "out", killed / "out") is None
    assert (whole / "random.txt").read_text() == (killed / "random.txt").read_text()
    seen = [{path.name for path in (each / "out").rglob("[!.]*")} for each in (whole, killed)]
    assert seen[0] == seen[1]  # what was half-written is hidden


@pytest.mark.slow
def test_runs_killed_at_random_moments_end_as_if_they_had_not_been():
    """The whole command, with the embedded world; ``make kills`` does it 20 times."""
    done = spawning.script(BENCHMARKS / "kills.py", "--kills=2", "--steps=6")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 killed runs" in done.stdout
