"""What the page shows of a run, and how it is stopped there."""

import pytest
from ui_runs import asks, wait_until

pytest.importorskip("gradio")

import gradio as gr

from redream.ui.runs import read_run
from redream.ui.watching import Shown, Watching


@pytest.fixture
def run(make_queue):
    """A run at work, whose step does not end, as the page watches it."""
    queue = make_queue()
    folder = queue.add(asks("a long slow dog"))
    queue.tick()
    wait_until(lambda: read_run(queue.out, folder).state == "training")
    return Watching(queue), folder.name


def test_that_a_run_is_stopping_is_painted_at_once(run):
    watching, name = run
    signature, _, progress, *_ = watching.show(name, "")
    assert "stopping" not in progress
    assert watching.show(name, signature) == [gr.skip()] * len(Shown._fields)
    for _ in range(2):  # a double click
        watching.do(watching.queue.stop, name)
    _, _, progress, stop, *_ = watching.show(name, signature)
    assert "stopping ..." in progress and stop["visible"] and stop["value"] == "Stop"


def test_why_a_run_cannot_be_stopped_is_said(run, monkeypatch):
    watching, name = run
    monkeypatch.setattr("redream.ui.processes.stop", lambda number: False)  # another user's
    with pytest.raises(gr.Error, match="cannot be stopped from here"):
        watching.do(watching.queue.stop, name)
