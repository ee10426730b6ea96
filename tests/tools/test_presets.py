"""``redream presets``: what the page and Blender offer, for people and for programs."""

import json

from redream import cli
from redream.ui import presets


def test_what_can_run_and_what_is_lacking(monkeypatch, capsys):
    monkeypatch.setattr(presets.shutil, "which", lambda name: None)  # no GPU
    assert cli.main(["presets", "--json"]) == 0
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["default"]["lacks"] == [] and found["default"]["picture"] == "none"
    assert "needs a GPU, for a large model" in found["paper"]["lacks"]
    assert [each.rpartition("/")[2] for each in found["splats"]["files"]] == [
        "default.yaml",
        "splats.yaml",
    ]
    assert cli.main(["presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(found)
    assert lines[0].split(maxsplit=1) == ["default", found["default"]["title"]]
    assert any(each.startswith("paper ") and "needs a GPU" in each for each in lines)
