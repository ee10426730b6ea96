"""Whole runs of checkouts are timed by their own processes' seconds."""

import subprocess

import pytest

from benchmarks import run as timing

STUB = """
import json, pathlib, sys

def main():
    folder = next(each.split("=")[1] for each in sys.argv if "default_root_dir" in each)
    assert "--prompt=a box" in sys.argv, sys.argv
    sum(range(3_000_000))
    made = {"models": [{"psnr_db": 20.0}, {"psnr_db": 30.0}], "particles": [{"clip_score": 0.5}]}
    for name, facts in (("metrics", made), ("budget", {"passes": 12})):
        pathlib.Path(folder, f"{name}.json").write_text(json.dumps(facts))
    return int("--fails" in sys.argv)
"""


@pytest.fixture
def checkout(tmp_path):
    package = tmp_path / "checkout" / "redream"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "cli.py").write_text(STUB)
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "stub"]):
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", tmp_path / "checkout", *who, *command], check=True)
    return tmp_path / "checkout"


def test_a_run_says_what_it_took_and_made(checkout, tmp_path):
    found = timing.run(checkout, "a box", tmp_path / "cache", [])
    assert 0.0 < found.cpu_seconds and 0.0 < found.wall_seconds
    assert (found.psnr_db, found.clip_score, found.passes) == (25.0, 0.5, 12)
    again = found._replace(cpu_seconds=found.cpu_seconds / 2, again=True)
    page = timing.table([[found, again]], pass_seconds=0.5)
    assert "| 0.50 |" in page and "| 6 |" in page and "median of 1: 0.50." in page


def test_a_run_that_fails_is_no_measurement(checkout, tmp_path):
    with pytest.raises(SystemExit, match="a run of 'a box' failed"):
        timing.run(checkout, "a box", tmp_path / "cache", ["--fails"])
