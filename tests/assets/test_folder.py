import json

import pytest
from fabricated import make_box, write_box_glb

from redream.assets import FolderStore, Store, write_glb
from redream.assets.attribution import short_license


@pytest.fixture
def folder(tmp_path):
    write_box_glb(tmp_path / "glbs" / "aa.glb")
    write_box_glb(tmp_path / "glbs" / "deep" / "red_box-2.GLB")
    write_glb(
        tmp_path / "cc.glb",
        make_box({}),
        {"author": "Ann", "license": "CC-BY-4.0 (http://creativecommons.org/...)", "source": "u"},
    )
    (tmp_path / "captions.csv").write_text('aa,"a box, red"\ncc,a grey box\nzz,not here\n')
    (tmp_path / "annotations.json").write_text(
        json.dumps({"aa": {"license": "cc0", "author": "Bob", "yaw_deg": 3.0}})
    )
    return tmp_path


def test_lists_files_captions_and_licences(folder):
    store = FolderStore(folder)
    assert isinstance(store, Store)
    assets = {asset.uid: asset for asset in store.assets()}
    assert set(assets) == {"aa", "cc", "red_box-2"}
    assert assets["aa"].caption == "a box, red"
    assert (assets["aa"].license, assets["aa"].author) == ("cc0", "Bob")
    assert (assets["cc"].license, assets["cc"].author, assets["cc"].source) == ("by", "Ann", "u")
    assert assets["red_box-2"].caption == "red box 2"
    assert assets["red_box-2"].license == "unknown"
    assert len(store.load("red_box-2").faces) == 12


def test_captions_from_elsewhere_and_the_way_back(folder, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("aa,something else\n")
    store = FolderStore(folder, other)
    assert {a.uid: a.caption for a in store.assets()}["aa"] == "something else"
    again = FolderStore(**store.reference()["init_args"])
    assert again.assets() == store.assets()


def test_bad_rows_are_named_and_the_rest_is_kept(folder):
    (folder / "captions.csv").write_text("aa,first\naa,second\nlonely\n\ncc,third\n")
    with pytest.warns(UserWarning) as warned:
        captions = {a.uid: a.caption for a in FolderStore(folder).assets()}
    assert captions["aa"] == "first"
    assert captions["cc"] == "third"
    messages = " ".join(str(w.message) for w in warned)
    assert "captions.csv:2: aa again" in messages
    assert "captions.csv:3: not uid,caption" in messages


def test_faults_are_one_line(folder, tmp_path):
    with pytest.raises(ValueError, match="'nobody'"):
        FolderStore(folder).load("nobody")
    with pytest.raises(FileNotFoundError, match="no asset folder"):
        FolderStore(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="no captions file"):
        FolderStore(folder, tmp_path / "absent.csv")
    (folder / "annotations.json").write_text("{")
    with pytest.raises(ValueError, match="annotations.json is not valid JSON"):
        FolderStore(folder).assets()
    write_box_glb(folder / "aa.glb")
    with pytest.raises(ValueError, match="one uid"):
        FolderStore(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no 3D file"):
        FolderStore(tmp_path / "empty")


def test_a_broken_file_does_not_stop_the_list(folder):
    (folder / "broken.glb").write_bytes(b"glT")
    store = FolderStore(folder)
    assert "broken" in {asset.uid for asset in store.assets()}
    with pytest.raises(ValueError, match=r"broken\.glb"):
        store.load("broken")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("CC-BY-4.0 (http://creativecommons.org/licenses/by/4.0/)", "by"),
        ("CC-BY-NC-SA-4.0 (x)", "by-nc-sa"),
        ("CC0 1.0", "cc0"),
        ("Public Domain", "cc0"),
        ("by-sa", "by-sa"),
        ("http://creativecommons.org/licenses/by-nc/4.0/", "by-nc"),
        ("CC Attribution-NonCommercial-NoDerivs", "by-nc-nd"),
        ("Standard", "standard"),
        ("", "unknown"),
    ],
)
def test_licences_become_short_codes(text, code):
    assert short_license(text) == code


def test_real_folder(objaverse):
    assets = FolderStore(objaverse, objaverse / "captions.csv").assets()
    assert len(assets) == 549
    assert all(asset.caption.startswith("a low-poly") for asset in assets)
