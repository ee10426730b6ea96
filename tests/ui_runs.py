"""Runs of the page that are small programs: asking for them, and waiting for them."""

import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from redream.ui import processes
from redream.ui.asked import Asked
from redream.ui.configs import Config
from redream.ui.presets import Device, Preset
from redream.ui.queue import Queue

PROGRAM = (sys.executable, str(Path(__file__).parent / "ui" / "stand_in.py"))


@contextmanager
def queues(folder):
    """Makes servers' queues on one output folder, whose runs are small programs."""
    (folder / "default.yaml").write_text("prompt: a dog\n")
    out = folder / "out"
    out.mkdir()
    made = []

    def make(devices=("cpu",)):
        config = Config("default", "Small", (folder / "default.yaml",), {})
        poor = Preset(config._replace(name="poor"), ("needs a GPU",))
        shown = Preset(config._replace(name="shown"), (), "needed")
        big = Preset(config._replace(name="big", values={"trainer": {"max_steps": 9000}}))
        named = [Device(name, name) for name in devices]
        made.append(Queue(out, folder, [Preset(config), poor, shown, big], named))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "PROGRAM", PROGRAM)
        yield make
        for queue in made:
            for child in queue._children:
                child.kill()
                child.wait()


def wait_until(condition, seconds=30.0):
    """Waits for something that another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def asks(prompt="a dog", **fields):
    return Asked(prompt, "default", {}, **fields)
