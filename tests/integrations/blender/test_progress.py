"""How far a run is, as the run itself says it: its own callback writes what is read here."""

import json
import time
from types import SimpleNamespace

import pytest
from redream_blender.progress import Progress

from redream.callbacks import Status
from redream.callbacks.progress import Part


def progress(folder, since=0.0):
    read = Progress(folder, folder / "blender.log", since)
    read.read()
    return read


def test_it_understands_what_every_run_writes(tmp_path):
    trainer = SimpleNamespace(
        global_step=0, max_steps=8, is_global_zero=True, default_root_dir=str(tmp_path)
    )
    module = SimpleNamespace(stage="warm-up", losses={})
    status = Status(every_seconds=0.0)
    status.setup(trainer, module, "fit")
    assert progress(tmp_path).stage == "preparing"
    status.part = Part("nerf", 0, 8)
    for trainer.global_step in range(1, 5):
        status.on_train_batch_end(trainer, module)
    read = progress(tmp_path)
    assert (read.step, read.total, read.stage, read.share) == (4, 8, "nerf: warm-up", 0.5)
    assert read.left.count(":") == 2
    status.on_train_end(trainer, module)
    assert progress(tmp_path).stage == "writing the object"


def test_what_an_earlier_command_said_does_not_count(tmp_path):
    now = time.time()
    (tmp_path / "status.json").write_text(
        json.dumps({"state": "stopped", "step": 3, "steps": 9, "time": now})
    )
    assert progress(tmp_path, now).step == 3
    assert (progress(tmp_path, now + 1).step, progress(tmp_path, now + 1).stage) == (0, "starting")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '{"time": null}',
        '{"time": 9e9, "step": "x", "steps": -1, "seconds_left": "NaN", "stage": 3}',
        '{"time": 9e9, "state": "training", "step": 3, "steps": null, "seconds_left": NaN}',
    ],
)
def test_what_makes_no_sense_is_no_progress(tmp_path, text):
    (tmp_path / "status.json").write_text(text)
    read = progress(tmp_path)
    assert (read.total, read.share, read.left) == (0, 0.0, "")


def test_output_is_read_once_and_up_to_the_end_of_a_line(tmp_path):
    read, log = progress(tmp_path), tmp_path / "blender.log"
    said = "redream: error: no file ä\r\n".encode()
    log.write_bytes(said[:-3])
    read.read()
    assert read.error == ""
    with log.open("ab") as file:
        file.write(said[-3:])
    read.read()
    assert read.error == "no file ä"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("redream: warning: x\nredream: error: build an index\n", "build an index"),
        (
            "Traceback (most recent call last):\n  File\n    Error = 3\nKeyError: 'x'\n",
            "KeyError: 'x'",
        ),
        ("all is well\nValueError: it is said, and not raised\n", ""),
    ],
)
def test_an_error_is_its_line_and_a_bug_the_last_of_its_traceback(tmp_path, text, error):
    (tmp_path / "blender.log").write_text(text)
    assert progress(tmp_path).error == error
