"""The extension in Blender: installed from its archive, refusing, bringing a model in, removed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fabricated import make_box, quadrant_picture

from redream.assets import write_glb
from redream.assets.attribution import model_extras
from redream.types import Asset, Material

CONFIGS = Path(__file__).parents[3] / "configs"
PEAK = (0.1, 1.0, 0.3)  # +Y up, in front: +Z


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder as a run leaves it: two models that stand on their origins."""
    folder = tmp_path_factory.mktemp("run")
    box = make_box({})
    picture = torch.from_numpy(quadrant_picture()).float() / 255.0
    texture = torch.cat([picture, torch.ones(8, 8, 1)], dim=-1)
    box = box._replace(
        vertices=torch.cat([box.vertices * 0.4 + torch.tensor([0.0, 0.2, 0.0])]),
        materials=(Material((1.0, 1.0, 1.0, 1.0), texture, name="bark"),),
    )
    box.vertices[int(box.vertices.sum(1).argmax())] = torch.tensor(PEAK)
    extras = model_extras("a tree", [Asset("a", "a tree", license="by", author="Anna")])
    for index in (0, 1):
        write_glb(folder / f"particle_{index}.glb", box, extras)
    (folder / "blender.json").write_text(json.dumps({"prompt": "a tree"}))
    return folder, box.vertices.numpy()


PATIENT = """#!{python}
import os, signal, sys, time
if sys.argv[1] == "presets":
    sys.exit("there is no verb 'presets'")  # an older ReDream
options = dict(each[2:].split("=", 1) for each in sys.argv[2:] if "=" in each)
folder = options["trainer.default_root_dir"]
def leave(*_):
    os.makedirs(folder + "/checkpoints", exist_ok=True)
    open(folder + "/checkpoints/last.ckpt", "w").close()
    sys.exit(130)
signal.signal(signal.SIGINT, leave)
open(folder + "/ready", "w").close()
time.sleep(120)
"""


@pytest.fixture(scope="module")
def seen(in_blender, archive, run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    patient = folder / "redream"
    patient.write_text(PATIENT.format(python=sys.executable))
    patient.chmod(0o755)
    return in_blender(
        "panel_drawn.py",
        archive=str(archive),
        nowhere=str(folder / "nowhere"),
        patient=str(patient),
        program=sys.executable,
        configs=str(CONFIGS),
        runs=str(folder / "runs"),
        run=str(run[0]),
    ) | {"runs": folder / "runs"}


def test_it_is_there_and_leaves_nothing(seen):
    assert seen["is_registered"] and not seen["is_left"]


def test_blenders_own_validator_has_nothing_to_say(seen, bpy_python, archive):
    done = subprocess.run(
        [bpy_python, seen["validator"], "validate", str(archive)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_missing_redream_is_one_line_in_the_panel(seen):
    text = " ".join(each[-1] for each in seen["missing"] if each[0] == "label")
    assert text.startswith("there is no redream in ")
    assert text.endswith("or the checkout with its .venv")
    assert ["operator", "preferences.addon_show", "Preferences"] in seen["missing"]
    assert seen["without"] == ["CANCELLED"]
    said, is_error = seen["refused"]
    assert said.replace(" ", "") == text.replace(" ", "") and is_error  # a label is a part


def test_the_panel_asks_for_what_a_run_needs(seen):
    asked = [each[1] for each in seen["found"] if each[0] == "prop"]
    assert asked == ["prompt", "preset", "uses_selection", "num_objects", "size", "options"]
    assert ["operator", "redream.make", ""] in seen["found"]
    assert seen["chosen"] == ["methods/csd"]


def test_presets_are_those_that_this_computer_can_run(seen):
    """As the command says that Blender has asked."""
    assert {"default", "splats", "methods/csd"} <= set(seen["offered"])
    assert seen["lacking"] and not set(seen["offered"]) & set(seen["lacking"])
    assert "needs an index of assets" in seen["lacking"]["paper"]
    others = f"{len(seen['lacking'])} others need what is not here"
    assert others in " ".join(each[-1] for each in seen["found"] if each[0] == "label")


def test_a_run_is_stopped_at_a_checkpoint_when_blender_is_closed(seen):
    begun, is_timed, code, has_checkpoint, is_timed_after = seen["closed"]
    assert begun == ["FINISHED"] and is_timed
    assert code == 130 and has_checkpoint and not is_timed_after


def test_what_cannot_be_made_is_said_and_leaves_no_folder(seen):
    assert seen["nothing_selected"][0].startswith("nothing with a surface is selected")
    assert seen["empty_prompt"] == ["the prompt is empty: say what to make", True]
    assert [each.name for each in seen["runs"].iterdir() if "vase" not in each.name] == []


def test_models_stand_at_the_cursor_upright_in_metres_and_face_front(seen, run):
    first, second = seen["arrived"]
    x, y, z = run[1].T
    expected = np.stack([x, -z, y], 1) + (1.0, 2.0, 3.0)  # Blender's up is +Z, its front -Y
    corners = np.unique(np.round(first["points"], 5), axis=0)
    np.testing.assert_allclose(corners, np.unique(np.round(expected, 5), axis=0), atol=2e-5)
    assert first["origin"] == [1.0, 2.0, 3.0]
    assert first["low"][2] == pytest.approx(3.0)
    assert second["origin"][0] - 1.0 == pytest.approx(1.1 * (x.max() - x.min()), abs=1e-5)
    assert second["origin"][1:] == [2.0, 3.0]
    assert all(each["rotation"] == [0.0, 0.0, 0.0] for each in seen["arrived"])


def test_they_keep_faces_materials_and_whose_they_are(seen, run):
    for number, each in enumerate(seen["arrived"]):
        assert each["name"] == ("a tree", "a tree.001")[number]
        assert each["faces"] == 12 and each["uvs"] == ["UVMap"] and each["selected"]
        assert each["materials"] == [("bark", "bark.001")[number]]
        said = each["says"]
        assert (said["author"], said["license"], said["title"]) == ("Anna", "by", "a tree")
        assert said["attribution"] == "a tree by Anna, licence by"
        assert said["run"] == str(run[0])


def test_a_scene_in_centimetres_gets_the_same_size(seen):
    metres, centimetres = seen["arrived"][0], seen["in_centimetres"][0]
    for low, high in zip(metres["low"], metres["high"], strict=True):
        assert high > low
    sizes = [np.subtract(each["high"], each["low"]) for each in (metres, centimetres)]
    np.testing.assert_allclose(sizes[1], sizes[0] * 100.0, rtol=1e-4)
