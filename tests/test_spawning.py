"""What a command that is forked from a waiting process has in common with any other."""

import os
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
