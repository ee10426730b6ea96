"""From the buttons to the object that arrives, by the real command on the embedded world."""

import sys
from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[3] / "configs"
SMALL = """
trainer:
  max_steps: 4
  callbacks:
    - class_path: redream.callbacks.Progress
    - class_path: lightning.pytorch.callbacks.ModelCheckpoint
      init_args: {save_last: true, save_top_k: 0, every_n_train_steps: 2, save_on_exception: true}
    - class_path: redream.callbacks.Export
      init_args:
        num_frames: 8
        frame_size: 32
        surface_resolution: 24
        texture_size: 64
model:
  cameras: {render_size: 32}
  adapter: null
data:
  num_assets: 2
  references: {class_path: redream.assets.ReferenceRenderer, init_args: {num_views: 10}}
"""


@pytest.fixture(scope="module")
def found(in_blender, archive, embedded_cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.yaml").write_text(SMALL)
    return in_blender(
        "whole_run.py",
        archive=str(archive),
        program=sys.executable,
        configs=str(CONFIGS),
        runs=str(folder / "my runs"),
        options=f"--config='{folder / 'small.yaml'}'",
        painting=" --model.representation.init_args.init_steps=2",
        environment={"REDREAM_CACHE": str(embedded_cache)},
    ) | {"runs": folder / "my runs"}


def test_make_brings_the_object_to_the_cursor(found):
    assert found["made"] == ["FINISHED"] and found["said"] == ["1 object arrived", False]
    assert found["is_idle"]
    (elephant,) = found["objects"]
    assert elephant["name"] == "a golden elephant"
    assert elephant["origin"] == [1.0, 2.0, 3.0]
    sides = [high - low for low, high in zip(elephant["low"], elephant["high"], strict=True)]
    assert max(sides) == pytest.approx(0.5, abs=1e-4)
    assert elephant["low"][2] == pytest.approx(3.0, abs=1e-4)  # its base is at the cursor
    for axis, middle in ((0, 1.0), (1, 2.0)):
        assert (elephant["low"][axis] + elephant["high"][axis]) / 2 == pytest.approx(
            middle, abs=1e-3
        )
    assert elephant["faces"] > 10 and len(elephant["materials"]) == 1 and elephant["uvs"]
    said = elephant["says"]
    assert said["title"] == "a golden elephant" and said["license"] == "cc0"
    assert said["author"] and said["attribution"].count("licence cc0") == 2
    assert Path(said["run"]) == Path(found["folder"])
    assert (Path(found["folder"]) / "report.html").is_file()


def test_a_button_returns_at_once_and_cancel_leaves_nothing(found):
    assert found["begun"] == ["FINISHED"] and found["second"] is False
    assert found["cancelled"] == [["cancelled", False], True, ""]
    assert not found["is_left"]
    assert len(list(found["runs"].iterdir())) == 2


def test_a_stopped_run_can_be_taken_and_goes_on(found):
    (said, is_error), offered = found["stopped"]
    assert said.startswith("stopped after step ") and not is_error
    assert offered == ["go_on", "take"]
    assert found["taken"][0] == found["gone_on"] == ["1 object arrived", False]
    step, last = found["steps"]
    assert step == last


def test_the_selection_comes_back_with_its_size_its_materials_and_its_coordinates(found):
    (taken,) = found["taken"][1]
    sides = [high - low for low, high in zip(taken["low"], taken["high"], strict=True)]
    assert sides == pytest.approx([2.0, 1.0, 0.5], abs=1e-3)
    assert [each.split(".")[0] for each in taken["materials"]] == ["oak", "steel"]
    assert taken["name"].split(".")[0] == "table"
    assert (taken["says"]["author"], taken["says"]["license"]) == ("Anna", "by")
    for name, corners in found["original_uvs"].items():
        assert {tuple(each) for each in found["uvs"][name]} == {tuple(each) for each in corners}
