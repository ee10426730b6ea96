"""What the tests of the page share: a program in the place of ``redream``, and an output folder."""

import sys

import pytest

from redream.ui import processes
from redream.ui.configs import Config
from redream.ui.presets import Device, Preset
from redream.ui.queue import Queue

PROGRAM = """
import json, os, signal, sys, time
verb, options = sys.argv[1], dict(each[2:].split("=", 1) for each in sys.argv[2:] if "=" in each)
if "--print_config" in sys.argv:
    sys.exit(0)
folder = options["trainer.default_root_dir"]
def say(state, step=0):
    text = json.dumps({"state": state, "step": step, "steps": 3, "time": time.time()})
    with open(folder + "/status.part", "w") as file:
        file.write(text)
    os.replace(folder + "/status.part", folder + "/status.json")
def leave(*_):
    os.makedirs(folder + "/checkpoints", exist_ok=True)
    open(folder + "/checkpoints/last.ckpt", "w").close()
    say("stopped", 1)
    sys.exit(143)
signal.signal(signal.SIGTERM, leave)
print(verb, *sys.argv[2:], "on", os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
if "bad" in options["prompt"]:
    sys.exit("redream: error: it is bad")
say("training", 1)
end = time.time() + 60
while "long" in options["prompt"] and "ckpt_path" not in options and time.time() < end:
    time.sleep(0.02)
say("finished", 3)
"""


@pytest.fixture
def make_queue(tmp_path, monkeypatch):
    """Makes servers' queues on one output folder, whose runs are small programs."""
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.setattr(processes, "PROGRAM", (sys.executable, str(tmp_path / "program.py")))
    (tmp_path / "default.yaml").write_text("prompt: a dog\n")
    out = tmp_path / "out"
    out.mkdir()
    made = []

    def make(devices=("cpu",)):
        config = Config("default", "", (tmp_path / "default.yaml",), {})
        poor = Preset(config._replace(name="poor"), ("needs a GPU",))
        named = [Device(name, name) for name in devices]
        made.append(Queue(out, tmp_path, [Preset(config), poor], named))
        return made[-1]

    yield make
    for queue in made:
        for child in queue._children:
            child.kill()
            child.wait()
