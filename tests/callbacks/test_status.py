"""The small file that says where a run is."""

import json

import pytest

from redream.callbacks import Export, Status
from redream.callbacks.progress import Part
from redream.signals import Stopped


def status(folder):
    return json.loads((folder / "status.json").read_text("utf-8"))


class Watching(Status):
    """Keeps every file that it has written."""

    def __init__(self, **options):
        super().__init__(**options)
        self.files = []

    def _write(self, trainer, *what):
        super()._write(trainer, *what)
        self.files.append(status(self.folder or tmp(trainer)))


def tmp(trainer):
    from pathlib import Path

    return Path(trainer.default_root_dir)


def test_a_run_says_where_it_is_and_when_it_is_finished(toy, train, tmp_path):
    watching = Watching(every_seconds=0.0)
    export = Export(surface_resolution=8, texture_size=32, num_frames=8, frame_size=16)
    train(toy.Module(radii=(0.6,)), [export, watching], num_steps=4)
    states = [each["state"] for each in watching.files]
    assert states == ["preparing", *["training"] * 4, "exporting", "finished"]
    steps = [each for each in watching.files if each["state"] == "training"]
    assert [(each["step"], each["steps"]) for each in steps] == [(n, 4) for n in (1, 2, 3, 4)]
    assert [each["stage"] for each in steps] == ["warm-up", "warm-up", "distil", "distil"]
    assert steps[0]["seconds_left"] is None and steps[-1]["seconds_left"] == 0.0
    assert steps[1]["losses"]["distillation"] > steps[3]["losses"]["distillation"] > 0.0
    assert status(tmp_path) == watching.files[-1]
    assert not list(tmp_path.glob(".status*"))


@pytest.mark.parametrize(
    ("failure", "state", "error"),
    [
        (lambda _: Stopped(15), "stopped", ""),
        (lambda _: RuntimeError("one\ntwo"), "failed", "one"),
    ],
)
def test_a_run_says_how_it_ended(toy, train, tmp_path, failure, state, error):
    with pytest.raises((Stopped, RuntimeError)):
        train(toy.Module(fail_at=2, failure=failure), [Status()])
    left = status(tmp_path)
    assert (left["state"], left["error"], left["step"]) == (state, error, 2)


def test_files_come_no_more_often_than_asked(toy, train):
    watching = Watching(every_seconds=1000.0)
    train(toy.Module(), [watching], num_steps=4)
    assert [each["state"] for each in watching.files] == ["preparing", "exporting", "finished"]


def test_a_stage_says_where_the_job_is(toy, train, tmp_path):
    watching = Watching(every_seconds=0.0)
    watching.part, watching.folder = Part("geometry", 10, 20), tmp_path / "job"
    train(toy.Module(), [watching], num_steps=4)
    last = watching.files[-1]
    assert (last["state"], last["step"], last["steps"]) == ("training", 14, 20)
    assert watching.files[1]["stage"] == "geometry: warm-up"
    assert not (tmp_path / "status.json").exists()
