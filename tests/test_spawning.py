"""What a command that is forked from a waiting process has in common with any other."""

import os
import signal
import subprocess
import sys

import pytest
import spawning

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="commands are forked")


def test_exit_code_output_folder_and_environment_are_its_own(tmp_path, monkeypatch):
    command = ("retrieve", "a dog", "--index", "nowhere")
    plain = subprocess.run(
        [sys.executable, "-m", "redream", *command], cwd=tmp_path, capture_output=True, text=True
    )
    forked = spawning.redream(*command, cwd=tmp_path)
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        plain.returncode, plain.stdout, plain.stderr,
    )  # fmt: skip
    assert plain.returncode == 2 and "nowhere" in plain.stderr
    debugged = spawning.redream(*command, env=os.environ | {"REDREAM_DEBUG": "1"}, cwd=tmp_path)
    assert debugged.returncode == 1 and "Traceback" in debugged.stderr
    assert spawning.redream("--version").stdout.startswith("redream ")


def test_what_a_command_does_to_its_process_ends_with_it():
    assert spawning.redream("fit", "--help").returncode == 0
    again = spawning.redream("nothing")
    assert again.returncode == 2 and "there is no verb 'nothing'" in again.stderr


def test_a_script_has_its_arguments_and_neighbours(tmp_path):
    (tmp_path / "neighbour.py").write_text("name = 'there'")
    path = tmp_path / "script.py"
    path.write_text(
        "import sys, neighbour\nprint(__name__, sys.argv, neighbour.name)\nsys.exit('no')"
    )
    done = spawning.script(path, "a", 3)
    assert done.stdout == f"__main__ {[str(path), 'a', '3']} there\n"
    assert done.returncode == 1 and done.stderr == "no\n"


def test_what_runs_can_be_killed_and_does_not_disturb_what_comes_next(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("import time\nprint('begun', flush=True)\ntime.sleep(600)")
    running = spawning.start(path=path)
    assert running.poll() is None
    running.kill()
    assert running.finish().returncode == -signal.SIGKILL
    left = spawning.start(path=path)  # by a test that has failed, say
    assert spawning.redream("--version").returncode == 0
    assert left.poll() == -signal.SIGKILL
