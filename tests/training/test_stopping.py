"""What signals, second prompts and spoilt checkpoints do to whole runs of the command line."""

import json
import os
from pathlib import Path

import pytest
import spawning

import redream

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")


@pytest.fixture(scope="module")
def ended(sd_folders, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    script = Path(__file__).with_name("stopped_runs.py")
    done = spawning.script(script, sd_folders["epsilon"], root)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((root / "ended.json").read_text())


def last_line(run):
    return run["said"].strip().splitlines()[-1]


def test_sigterm_saves_and_leaves_with_143(ended):
    run = ended["term"]
    assert run["status"] == 143, run["said"]
    assert run["step"] == 3  # the step that it came in was ended
    assert "stopped by SIGTERM after step 3" in run["said"] and "redream predict" in run["said"]
    assert not any(name.startswith(("particle", "report", "turntable")) for name in run["files"])


def test_the_run_goes_on_and_its_export_answers_too(ended):
    run = ended["on"]
    assert run["status"] == 143, run["said"]
    assert run["step"] == 4 and "particle_0.glb" in run["files"]
    assert "particle_1.glb" not in run["files"] and "report.html" not in run["files"]


def test_predict_from_elsewhere_finds_all_and_writes_beside_the_checkpoint(ended):
    run = ended["predict"]
    assert run["status"] == 0, run["said"]
    assert run["elsewhere"] == []
    assert {"particle_0.glb", "particle_1.glb", "report.html"} <= set(run["files"])


def test_a_checkpoint_knows_what_it_is_of(ended):
    of = ended["predict"]["of"]
    assert of["version"] == redream.__version__ and of["prompt"] == "a dog" and of["seed"] == 0
    assert len(of["assets"]) == 1
    for name in ("other", "other predict"):
        assert ended[name]["status"] == 2
        line = last_line(ended[name])
        assert "its prompt was 'a dog', and here it is 'a chair'" in line, line


def test_a_second_prompt_finds_an_empty_folder_and_the_first_stays_whole(ended):
    run, first = ended["second"], ended["predict"]
    assert run["status"] == 129, run["said"]
    assert "the earlier run in out/a is now in out/a/earlier/1" in run["said"]
    assert run["of"]["prompt"] == "a chair" and run["step"] == 3
    aside = {name.removeprefix("earlier/1/") for name in run["files"] if "earlier" in name}
    assert aside == {name for name in first["files"] if not name.startswith(".")}
    now = {name for name in run["files"] if not name.startswith(("earlier", "."))}
    assert "checkpoints/last.ckpt" in now and "checkpoints/last-v1.ckpt" not in now
    assert not any(name.startswith("particle") for name in now)
    assert run["victim"] == "kept"  # a link of config.yaml's name is not followed


def test_a_missing_last_checkpoint_gives_way_to_the_one_before(ended):
    run = ended["lost"]
    assert run["status"] == 0, run["said"]
    assert "last.ckpt is missing: going on from" in run["said"] and run["step"] == 4


def test_the_second_ctrl_c_stops_at_once(ended):
    run = ended["twice"]
    assert run["status"] == 130, run["said"]
    assert run["step"] is None  # step 2 was not ended, and no period of checkpoints was


def test_a_folder_is_one_runs_at_a_time(ended):
    assert ended["both"]["status"] == 2
    assert "another run is at work in out/b" in last_line(ended["both"])


def test_a_linked_folder_of_checkpoints_is_refused(ended):
    assert ended["linked"]["status"] == 2
    assert "checkpoints is a link" in last_line(ended["linked"])


def test_spoilt_checkpoints_are_refused_in_a_line_or_read(ended):
    for name, run in ended.items():
        if name.startswith("spoilt"):
            assert run["status"] in (0, 2), (name, run["said"])
            assert "Traceback" not in run["said"], (name, run["said"])
            if run["status"]:
                assert last_line(run).startswith("redream: error: "), (name, run["said"])
