"""Any program as a generator: its words, its environment, its end; harmless programs only."""

import json
import os
import shlex
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

from redream.assets import load_mesh
from redream.sources import Command
from redream.sources.command import fill, split
from tests.sources.programs import program


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "is empty"),
        ("tool 'unclosed {glb}", "cannot be split"),
        ("tool --out made.glb", "does not say where"),
        ("tool {glb} {picture}", "other braces"),
        ("tool {glb} {}", "other braces"),
        ("{prompt} {glb}", "must begin with a program"),
    ],
)
def test_a_wrong_line_is_refused_in_one(line, said):
    with pytest.raises(ValueError, match=said) as caught:
        Command(line)
    assert "\n" not in str(caught.value)


def test_a_value_stays_in_its_word_whatever_it_says():
    words = split("tool --text={prompt} '{prompt}, front' {seed} {glb}")
    evil = "a dog; touch x `id` $(id) 'q' {glb} --out=/etc/passwd"
    filled = fill(words, {"prompt": evil, "seed": "3", "glb": "/t/made.glb"})
    assert filled == ["tool", f"--text={evil}", f"{evil}, front", "3", "/t/made.glb"]
    with pytest.raises(ValueError, match="would be an option"):
        fill(split("tool {prompt} {glb}"), {"prompt": "--force", "glb": "x"})
    with pytest.raises(ValueError, match="would be an option"):
        fill(split("tool {prompt} {glb}"), {"prompt": "a\0b", "glb": "x"})


def test_it_runs_elsewhere_in_the_users_environment_without_our_python(tmp_path, monkeypatch):
    tool, told = program(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MINE", "kept")
    Command(f"{tool} {{glb}} {{prompt}} {{seed}}").generate("a 'dog' & cat", 4, tmp_path / "a.glb")
    where, said, environment = json.loads(told.read_text())
    assert said == ["a 'dog' & cat", "4"]
    assert environment["MINE"] == "kept"
    assert not {"PYTHONPATH", "OMP_NUM_THREADS"} & environment.keys()
    assert Path(where) != Path.cwd() and not Path(where).exists()
    assert len(load_mesh(tmp_path / "a.glb").faces) == 12


def test_a_failure_a_missing_program_and_a_missing_file_are_said(tmp_path):
    path = tmp_path / "a.glb"
    tool, _ = program(tmp_path, "print('loading')\nraise SystemExit('no {{GPU}} here')")
    with pytest.raises(ValueError, match=r"failed with 1: no \{GPU\} here"):
        Command(f"{tool} {{glb}}", name="tool").generate("a dog", 0, path)
    tool, _ = program(tmp_path, "pass")
    with pytest.raises(ValueError, match="left no file"):
        Command(f"{tool} {{glb}}").generate("a dog", 0, path)
    tool, _ = program(tmp_path, "import os, sys\nos.symlink('/etc/hostname', sys.argv[1])")
    with pytest.raises(ValueError, match="left no file"):
        Command(f"{tool} {{glb}}").generate("a dog", 0, path)
    absent = Command("no-such-program-of-ours {glb}")
    assert "no program no-such-program-of-ours" in absent.lacks()[0]
    with pytest.raises(ValueError, match="no program"):
        absent.generate("a dog", 0, path)
    assert not path.exists()


def test_a_program_may_be_named_from_where_the_user_is(tmp_path, monkeypatch):
    """It starts in a folder of its own, where such a name means nothing."""
    tool, _ = program(tmp_path)
    (tmp_path / "mine.sh").write_text(f'#!/bin/sh\nexec {tool} "$@"\n')
    (tmp_path / "mine.sh").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    Command("./mine.sh {glb}").generate("a dog", 0, tmp_path / "a.glb")
    assert len(load_mesh(tmp_path / "a.glb").faces) == 12


def test_a_program_that_was_killed_is_said_to_be(tmp_path):
    body = "import os, sys\nprint('loading', flush=True)\nos.kill(os.getpid(), int(sys.argv[2]))"
    tool, _ = program(tmp_path, body)
    for number, said in ((9, "by SIGKILL .too little memory.*: loading"), (6, "by SIGABRT:")):
        with pytest.raises(ValueError, match=f"tool was ended {said}"):
            Command(f"{tool} {{glb}} {number}", name="tool").generate("a dog", 0, tmp_path / "a")


def test_whatever_it_says_is_one_printable_line(tmp_path):
    tool, _ = program(tmp_path, "import os\nos.write(1, b'\\x1b[31m\\xff\\x00' * 9000)\nexit(3)")
    with pytest.raises(ValueError, match="failed with 3: ") as caught:
        Command(f"{tool} {{glb}}").generate("a dog", 0, tmp_path / "a.glb")
    assert str(caught.value).isprintable()


SLOW = """
import subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
Path({told!r}).write_text(str(child.pid))
time.sleep(60)
"""


def test_when_its_time_is_over_it_ends_with_all_that_it_started(tmp_path):
    tool, told = program(tmp_path, SLOW)
    command = Command(f"{tool} {{glb}}", timeout_s=1.5)
    with pytest.raises(ValueError, match="more than 1.5 s"):
        command.generate("a dog", 0, tmp_path / "a.glb")
    require_gone(int(told.read_text()))


def require_gone(child):
    """Waits a little for the end of a process."""
    for _ in range(400):
        try:
            state = Path(f"/proc/{child}/status").read_text()
        except OSError:
            return
        if "\nState:\tZ" in state:
            return
        time.sleep(0.05)
    raise AssertionError("its child is alive")


@pytest.mark.skipif(os.name == "nt", reason="processes are forked")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_who_is_told_to_stop_ends_it_with_all_that_it_started(number, tmp_path):
    """A time limit of the shell's, or a scheduler, ends by SIGTERM, which nobody else answers."""
    tool, told = program(tmp_path, SLOW)
    scratch, out = tmp_path / "scratch", tmp_path / "a.glb"
    scratch.mkdir()
    ours = os.fork()
    if not ours:
        code = 1
        try:
            tempfile.tempdir = str(scratch)
            Command(f"{tool} {{glb}}").generate("a dog", 0, out)
        except SystemExit as leaving:
            code = leaving.code
        finally:
            os._exit(code)
    while not (told.is_file() and told.read_text()):
        time.sleep(0.02)
    assert list(scratch.iterdir())
    os.kill(ours, number)
    killed = number == signal.SIGKILL  # by the user, or for want of memory: nothing can be tidied
    code = os.waitstatus_to_exitcode(os.waitpid(ours, 0)[1])
    assert code == (-number if killed else 128 + number)
    require_gone(int(told.read_text()))
    assert (killed or list(scratch.iterdir()) == []) and not out.exists()


def test_what_may_not_run_does_not(tmp_path):
    tool, told = program(tmp_path)
    command = Command(f"{tool} {{glb}}", may_run=False)
    with pytest.raises(ValueError, match="stranger's.*--command"):
        command.generate("a dog", 0, tmp_path / "a.glb")
    assert not told.exists()


def test_its_version_is_its_files_unless_it_is_stated(tmp_path):
    path = tmp_path / "tool"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    first = Command(f"{path} {{glb}}")
    path.write_text("#!/bin/sh\ntrue\n")
    second = Command(f"{path} {{glb}}")
    assert first.author.startswith("tool (program ") or os.name == "nt"
    assert second.key() != Command(f"{path} {{glb}}", version="2").key()
    assert first.version is first.version  # read once


def test_its_version_is_that_of_its_script_too(tmp_path):
    """``python generate.py`` is another generator when the script is another."""
    script = tmp_path / "generate.py"
    line = f"{shlex.quote(sys.executable)} {shlex.quote(str(script))} {{glb}}"
    versions = []
    for text in ("print(1)", "print(2)", "print(1)"):
        script.write_text(text)
        versions.append(Command(line).version)
    assert versions[0] == versions[2] != versions[1]
    script.write_bytes(bytes(1 << 25))  # as weights are: by its age
    large = Command(line).version
    assert large == Command(line).version
    os.utime(script, ns=(0, 0))
    assert large != Command(line).version
