"""A run is a process of its own: heard through a file, stopped by a signal, ended whole."""

import os
import signal
import sys
import time

import pytest
from redream_blender.job import Job, discard, environment, read_note, write_note
from redream_blender.run_folder import can_be_taken, can_go_on, made, new_folder


def python(code, folder, **environ):
    command = [sys.executable, "-c"]
    return Job(command, [code], folder, {**os.environ, **environ}, folder.parent)


def waited(job, seconds=60.0):
    end = time.monotonic() + seconds
    while (code := job.poll()) is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    return code


def test_it_ends_with_the_code_and_says_what_went_wrong(tmp_path):
    code = "import sys; print('redream: error: no such index', file=sys.stderr); sys.exit(2)"
    job = python(code, tmp_path / "new" / "run")
    assert waited(job) == 2
    assert job.said() == "no such index"
    silent = python("raise SystemExit(3)", tmp_path / "run")
    assert waited(silent) == 3
    assert silent.said() == f"redream failed; {tmp_path / 'run' / 'blender.log'} says more"


def test_a_word_is_one_argument_whatever_is_in_it(tmp_path):
    words = ["a b", "$HOME", "; exit", '"', "ä金", "", "*"]
    show = "import sys; wanted = eval(sys.argv.pop()); assert sys.argv[1:] == wanted, sys.argv"
    job = Job([sys.executable, "-c", show], [*words, repr(words)], tmp_path, os.environ, tmp_path)
    assert waited(job) == 0


def test_relative_names_are_meant_from_the_checkout(tmp_path):
    here = f"import os; assert os.path.samefile(os.getcwd(), {str(tmp_path)!r}), os.getcwd()"
    assert waited(python(here, tmp_path / "run")) == 0


def test_blenders_python_is_not_handed_on(tmp_path):
    theirs = {"PYTHONHOME": "/nowhere", "PythonPath": "/nowhere", "KEPT": "1"}
    assert environment(theirs) == {"KEPT": "1", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    assert waited(python("import json", tmp_path, PYTHONHOME="/nowhere")) == 0


def test_output_without_end_blocks_nobody(tmp_path):
    assert waited(python("print('x' * 3_000_000)", tmp_path)) == 0
    assert (tmp_path / "blender.log").stat().st_size > 3_000_000


@pytest.mark.skipif(os.name == "nt", reason="Windows has Ctrl-Break instead")
def test_stop_is_a_signal_that_the_run_answers(tmp_path):
    answer = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(130))\n"
        "print('redream: error: ready', flush=True)\ntime.sleep(600)"
    )
    job = python(answer, tmp_path)
    while job.poll() is None and job.progress.error != "ready":
        time.sleep(0.02)
    assert job.poll() is None and not job.was_stopped
    job.stop()
    assert job.was_stopped and waited(job) == 130
    job.stop()  # of what has ended, it is nothing
    job.kill()


def test_cancelling_ends_the_run_with_all_that_it_has_started(tmp_path):
    beats = tmp_path / "beats"
    beat = (
        "import time\n"
        f"with open({str(beats)!r}, 'ab', buffering=0) as file:\n"
        "    while True: file.write(b'.'), time.sleep(0.01)"
    )
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {beat!r}])"
    job = python(parent, tmp_path / "run")
    while job.poll() is None and not (beats.exists() and beats.stat().st_size):
        time.sleep(0.02)
    assert job.poll() is None
    job.kill()
    assert job.poll() == (1 if os.name == "nt" else -signal.SIGKILL)
    time.sleep(0.2)
    size = beats.stat().st_size
    time.sleep(0.3)
    assert beats.stat().st_size == size
    discard(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_program_that_cannot_be_started_says_so(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        Job([str(tmp_path / "nowhere")], [], tmp_path / "run", os.environ, tmp_path)


def test_a_note_is_kept_and_a_broken_one_is_none(tmp_path):
    write_note(tmp_path / "run", {"arguments": ["fit", "ä"]})
    assert read_note(tmp_path / "run") == {"arguments": ["fit", "ä"]}
    assert [each.name for each in (tmp_path / "run").iterdir()] == ["blender.json"]
    for text in ("[1]", "{"):
        (tmp_path / "run" / "blender.json").write_text(text)
        assert read_note(tmp_path / "run") == {}
    assert read_note(tmp_path) == {}


def test_folders_are_named_by_day_and_prompt_and_never_taken_twice(tmp_path):
    now = time.struct_time((2030, 1, 2, 3, 4, 5, 0, 0, 0))
    first = new_folder(tmp_path, "A golden/../ Elephant: con?", now)
    assert first == tmp_path / "2030-01-02-a-golden-elephant-con"
    first.mkdir()
    assert new_folder(tmp_path, "a golden elephant con", now).name == f"{first.name}-2"
    assert new_folder(tmp_path, "金の象", now).name == "2030-01-02"
    assert len(new_folder(tmp_path, "very " * 90, now).name) < 60


def test_models_come_in_the_particles_order_and_old_ones_do_not(tmp_path):
    assert made(tmp_path / "none") == ([], None)
    for name in ("particle_10.glb", "particle_2.glb", "particle_2.splats.glb", "report.html"):
        (tmp_path / name).write_text("")
    assert [each.name for each in made(tmp_path).models] == ["particle_2.glb", "particle_10.glb"]
    assert made(tmp_path).report == tmp_path / "report.html"
    os.utime(tmp_path / "particle_2.glb", (1.0, 1.0))
    assert [each.name for each in made(tmp_path, since=2.0).models] == ["particle_10.glb"]
    assert not can_go_on(tmp_path) and not can_be_taken(tmp_path)
    (tmp_path / "stages" / "nerf" / "checkpoints").mkdir(parents=True)
    (tmp_path / "stages" / "nerf" / "checkpoints" / "last.ckpt").write_text("")
    assert can_go_on(tmp_path) and not can_be_taken(tmp_path)
