import json
import warnings
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import trimesh
from PIL import Image

from redream import cli
from redream.assets import FolderStore
from redream.tools import retrieve
from redream.tools.output import write_contact_sheet
from redream.types import Asset


class Fixed:
    """Answers every prompt with the two assets of the folder."""

    index = encoder = None

    def __init__(self, index):
        assert index == "here"

    def retrieve(self, prompt, k):
        scores = {"text": 0.5, "image": 0.25}
        return [Asset(uid, f"a {uid}", "cc0", scores=scores) for uid in ("ball", "box")][:k]


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A folder of two assets, found through a retriever that needs no index."""
    trimesh.creation.icosphere(subdivisions=1).export(tmp_path / "ball.glb")
    trimesh.creation.box().export(tmp_path / "box.glb")
    store = {"class_path": "redream.assets.FolderStore", "init_args": {"path": str(tmp_path)}}
    index = SimpleNamespace(store=store)
    monkeypatch.setattr(retrieve.EmbeddingIndex, "open", lambda path: index)
    real = retrieve.find_class
    monkeypatch.setattr(
        retrieve, "find_class", lambda *key: Fixed if key[1] == "Fixed" else real(*key)
    )
    return index


def run(tmp_path, *more):
    out = tmp_path / "made" / "sheet.png"
    arguments = ["retrieve", "a ball", "--index", "here", "--retriever", "Fixed", "--out", str(out)]
    return cli.main([*arguments, *more]), out


def test_retrieve_prints_json_and_writes_the_pictures(library, tmp_path, capsys):
    status, out = run(tmp_path, "--json", "-k", "2")
    assert status == 0
    known = {"scores": {"text": 0.5, "image": 0.25}, "license": "cc0"}
    known |= {"origin": "library", "author": "unknown", "source": ""}
    assert json.loads(capsys.readouterr().out) == [
        {"uid": "ball", "caption": "a ball", **known},
        {"uid": "box", "caption": "a box", **known},
    ]
    with Image.open(out) as sheet:
        assert sheet.size[0] == 8 * 128
        assert sheet.getpixel((64, 14 + 64)) != sheet.getpixel((2, 16)) == (255, 255, 255)
    assert {each.name for each in out.parent.iterdir()} == {"attribution.md", "sheet.png"}


def test_retrieve_writes_a_picture_of_each_asset(library, tmp_path):
    status, _ = run(tmp_path, "-k", "2", "--pictures", str(tmp_path / "pictures"))
    assert status == 0
    for name in ("asset_0.png", "asset_1.png"):
        with Image.open(tmp_path / "pictures" / name) as picture:
            assert picture.size == (256, 256)
            assert picture.getpixel((128, 128)) != picture.getpixel((1, 1)) == (255, 255, 255)


def test_conditions_for_a_retriever_that_has_none_are_refused(library, tmp_path, capsys):
    status, out = run(tmp_path, "--licenses", "cc0", "by")
    assert status == 2 and not out.exists()
    assert "Fixed has no filters: leave out licenses" in capsys.readouterr().err


def test_retrieve_prints_a_line_for_each_asset(library, tmp_path, capsys):
    status, _ = run(tmp_path)
    assert status == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "ball  a ball  text 0.500  image 0.250  library  cc0"
    assert second.startswith("box")


def test_licences_lie_beside_the_pictures_completed_by_the_store(library, tmp_path, monkeypatch):
    def complete(self, asset):
        return replace(asset, author="Ann", license="by", source="somewhere")

    monkeypatch.setattr(FolderStore, "complete", complete)
    _, out = run(tmp_path, "-k", "1")
    written = (out.parent / "attribution.md").read_text()
    assert written.startswith("# a ball\n")
    for line in (
        "## a ball",
        "- uid: ball",
        "- author: Ann",
        "- license: by",
        "- source: somewhere",
    ):
        assert f"\n{line}\n" in written
    assert "- similarity: text 0.500, image 0.250" in written


def test_a_warning_is_one_line(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.delenv("REDREAM_DEBUG", raising=False)
    assert cli.main(["--version"]) == 0
    shown = warnings.formatwarning(UserWarning("no caption\nfor a"), UserWarning, "a.py", 3)
    assert shown == "redream: warning: no caption for a\n"


def test_an_asset_that_cannot_be_shown_is_named_and_the_others_are_shown(library, tmp_path, capsys):
    (tmp_path / "ball.glb").write_text("no model")
    status, out = run(tmp_path, "-k", "2")
    assert status == 0
    told = capsys.readouterr()
    assert "no picture of ball: cannot read" in told.err
    assert len(told.out.splitlines()) == 2
    with Image.open(out) as sheet:
        assert sheet.size == (8 * 128, 128 + 14)


def test_an_index_without_a_store_has_no_pictures(library, tmp_path, capsys):
    library.store = None
    status, out = run(tmp_path)
    assert status == 0 and not out.exists()
    assert (out.parent / "attribution.md").is_file()
    assert "no contact sheet" in capsys.readouterr().err


def test_an_index_cannot_name_a_class_that_is_no_store(library, tmp_path, capsys):
    library.store = {"class_path": "os.system", "init_args": {"command": f"touch {tmp_path}/no"}}
    status, out = run(tmp_path)
    assert status == 2 and not out.exists() and not (tmp_path / "no").exists()
    assert "no 'system' among redream.stores" in capsys.readouterr().err


def test_a_sheet_that_cannot_be_finished_leaves_nothing(tmp_path, monkeypatch):
    def full(self, path, format):
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="no space"):
        write_contact_sheet([("text", torch.zeros(1, 3, 8, 8))], tmp_path / "sheet.png")
    assert list(tmp_path.iterdir()) == []


def test_a_sheet_shows_its_pictures_in_order(tmp_path):
    red, blue = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    pictures = torch.stack([red, blue])[:, :, None, None].expand(2, 3, 40, 40)
    write_contact_sheet([("", pictures), ("", pictures.flip(0))], tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (80, 2 * (40 + 14))
        assert sheet.getpixel((20, 30)) == sheet.getpixel((60, 84)) == (255, 0, 0)
        assert sheet.getpixel((60, 30)) == sheet.getpixel((20, 84)) == (0, 0, 255)


def test_a_gpu_that_is_too_small_is_one_line(monkeypatch, capsys):
    from redream.tools import lightning

    def run_out(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore lines.")

    monkeypatch.setattr(lightning.ReDreamCLI, "__init__", run_out)
    assert cli.main(["fit", "--config", "configs/default.yaml"]) == 2
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "error" in each]
    for option in (
        "--model.guidance.init_args.prior null",
        "dtype bfloat16",
        "--model.cameras.render_size",
    ):
        assert option in line
