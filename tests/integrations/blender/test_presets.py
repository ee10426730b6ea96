"""Presets are the files of ``configs/``: which are laid over which, the files themselves say."""

from pathlib import Path

import pytest
from redream_blender.finding import Missing
from redream_blender.presets import read_presets

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture(scope="module")
def presets():
    return {each.name: each for each in read_presets(CONFIGS)}


def test_every_file_is_a_preset_but_the_one_that_the_selection_brings(presets):
    names = {
        path.relative_to(CONFIGS).with_suffix("").as_posix() for path in CONFIGS.rglob("*.yaml")
    }
    assert presets.keys() == names - {"own_asset"}
    assert next(iter(presets)) == "default"


@pytest.mark.parametrize(
    ("name", "below"),
    [
        ("default", []),
        ("paper", []),
        ("stages", []),
        ("splats", ["default"]),
        ("mixed", ["default"]),
        ("splats_gpu", ["paper"]),
        ("paper_check", ["paper"]),
        ("methods/csd", ["default"]),
        ("methods/redream", ["default"]),
    ],
)
def test_what_is_not_whole_lies_over_what_its_first_comment_names(presets, name, below):
    files = [CONFIGS / f"{each}.yaml" for each in [*below, name]]
    assert list(presets[name].files) == files


def test_each_says_in_a_line_what_it_is(presets):
    assert presets["default"].about == (
        "The main job on the embedded world: runs anywhere, downloads nothing"
    )
    assert presets["methods/ism"].about.startswith("Interval score matching (Liang et al., 2023")
    assert all(0 < len(each.about) <= 160 and "\n" not in each.about for each in presets.values())
    assert presets["methods/stable_zero123"].label == "stable zero123"


def test_a_folder_without_any_says_so(tmp_path):
    with pytest.raises(Missing, match="no preset in"):
        read_presets(tmp_path)
    (tmp_path / "broken.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(Missing, match=r"cannot read .*broken.yaml"):
        read_presets(tmp_path)
