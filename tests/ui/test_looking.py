"""What is found is remembered, as long as the configs and what they name stay as they were."""

import os

import pytest

from redream.ui import processes
from redream.ui.configs import read_config
from redream.ui.looking import Looking

# what stands in the place of `redream retrieve` finds a single asset, which says where it looked
FINDS = """
import json, sys
from pathlib import Path
config, typed = (Path(each[9:]) for each in sys.argv if each.startswith("--config="))
with open("asked", "a") as asked:
    asked.write(".")
index = config.read_text().split()[-1]
said = config.read_text() + Path(index, "manifest.json").read_text()
texts = dict.fromkeys(("caption", "origin", "license", "author", "source"), "")
print(json.dumps([{"uid": said, "scores": {}, **texts}]))
"""


@pytest.fixture
def look(tmp_path, monkeypatch):
    """Looks by a config that names an index, both below the folder that is given with it."""
    (tmp_path / "find.py").write_text(FINDS)
    monkeypatch.setattr(processes, "PROGRAM", (processes.PROGRAM[0], str(tmp_path / "find.py")))
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "manifest.json").write_text("{count: 1}")
    (tmp_path / "mine.yaml").write_text("index: index")
    config = read_config(tmp_path / "mine.yaml", "mine")
    looking = Looking(tmp_path / "out", tmp_path)

    def look(yaml="{}"):
        return looking.look("a dog", config, yaml, 3)[0].uid

    return look, tmp_path


def times_asked(folder):
    return len((folder / "asked").read_text())


def test_what_was_found_is_remembered(look):
    look, folder = look
    first = look()
    assert first == "index: index{count: 1}" and look() == first
    assert times_asked(folder) == 1
    (folder / "index" / "images").mkdir()  # an index makes pictures' vectors as they are needed
    assert look() == first and times_asked(folder) == 1


def test_an_index_that_was_built_anew_is_looked_at_anew(look):
    look, folder = look
    look()
    manifest = folder / "index" / "manifest.json"
    manifest.write_text("{count: 2}")  # of the same size
    os.utime(manifest, ns=(1, 1))
    assert look() == "index: index{count: 2}"
    manifest.write_text("{count: 10}")
    os.utime(manifest, ns=(1, 1))  # of the same time
    assert look() == "index: index{count: 10}"


def test_a_config_that_was_changed_under_its_name_is_looked_at_anew(look):
    look, folder = look
    look()
    (folder / "other").mkdir()
    (folder / "other" / "manifest.json").write_text("{count: 7}")
    (folder / "mine.yaml").write_text("# By another index.\nindex: other")
    assert look() == "# By another index.\nindex: other{count: 7}"
    (folder / "other" / "manifest.json").write_text("{count: 10}")  # which is known from now on
    assert look() == "# By another index.\nindex: other{count: 10}"


def test_a_file_that_is_named_on_the_page_is_looked_at_anew(look):
    look, folder = look
    (folder / "my.glb").write_bytes(b"ball")
    typed = 'data: {assets: [my.glb], captions: ["\\0", a dog]}'
    look(typed)
    (folder / "my.glb").write_bytes(b"cube and more")
    look(typed)
    look(typed)
    assert times_asked(folder) == 2


def test_a_config_that_is_gone_is_the_command_line_s_to_say(look):
    look, folder = look
    (folder / "mine.yaml").unlink()
    with pytest.raises(ValueError, match="mine.yaml"):
        look()
