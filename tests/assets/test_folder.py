import json

import pytest
from fabricated import make_box, write_box_glb

from redream.assets import FolderStore, ObjaverseStore, Store, write_glb
from redream.assets.annotations import file_facts
from redream.assets.attribution import short_license

pytestmark = pytest.mark.filterwarnings("ignore:.*has no caption for:UserWarning")


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
    with pytest.warns(UserWarning, match=r"no caption for 1 of 3 assets, .*: red_box-2$"):
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
    other.write_text("aa,something else\ncc,grey\nred_box-2,red\n")
    store = FolderStore(folder, other)
    assert {a.uid: a.caption for a in store.assets()}["aa"] == "something else"
    again = FolderStore(**store.reference()["init_args"])
    assert again.assets() == store.assets()


def test_bad_rows_are_named_and_the_rest_is_kept(folder):
    (folder / "captions.csv").write_text(
        "\ufeffaa,first\naa,second\nlonely\n\n,nobody\ncc,third\n", encoding="utf-8"
    )
    with pytest.warns(UserWarning) as warned:
        captions = {a.uid: a.caption for a in FolderStore(folder).assets()}
    assert captions["aa"] == "first"
    assert captions["cc"] == "third"
    messages = " ".join(str(w.message) for w in warned)
    assert "captions.csv has no caption for 1 of 3 assets" in messages
    assert "captions.csv:2: aa again" in messages
    assert "captions.csv:3: not uid,caption" in messages
    assert "captions.csv:5: not uid,caption" in messages


def test_many_bad_rows_are_counted_and_what_is_no_text_is_refused(folder):
    (folder / "captions.csv").write_text("aa\n" * 1000 + "aa,a\ncc,c\nred_box-2,r\n")
    with pytest.warns(UserWarning) as warned:
        FolderStore(folder).assets()
    assert len(warned) == 6
    assert "995 more such rows" in str(warned[5].message)
    (folder / "captions.csv").write_bytes(bytes(range(200, 250)))
    with pytest.raises(ValueError, match=r"captions\.csv is not a CSV of uid,caption"):
        FolderStore(folder).assets()


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
    (folder / "annotations.json").write_text('{"aa": "cc0"}')
    with pytest.raises(ValueError, match="must have an object for aa"):
        FolderStore(folder).assets()
    with pytest.raises(ValueError, match="up must be y or z"):
        FolderStore(folder, up="x")
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
        ("https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode", "by-nc-sa"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "cc0"),
        ("Creative Commons Zero v1.0 Universal", "cc0"),
        ("CC0 1.0 Universal (CC0 1.0) Public Domain Dedication", "cc0"),
        ("CC-0", "cc0"),
        ("Attribution 4.0 International", "by"),
        ("Creative Commons - Attribution - Share Alike", "by-sa"),
        ("Creative Commons Attribution - Non Commercial", "by-nc"),
        ("CC Attribution No Derivatives", "by-nd"),
        ("CC_BY_SA_3.0_DE", "by-sa"),
        ("License: CC-BY", "by"),
        ("Standard", "standard"),
        ("All rights reserved by ACME Studio", "all rights reserved by acme studio"),
        ("Used by permission, no redistribution", "used by permission, no redistribution"),
        ("Licensed by Adobe Stock", "licensed by adobe stock"),
        ("Not public domain", "not public domain"),
        ("CC0 or CC-BY, ask me", "cc0 or cc-by, ask me"),
        ("by-nc, or pay", "by-nc, or pay"),
        ("", "unknown"),
    ],
)
def test_licences_become_short_codes(text, code):
    assert short_license(text) == code


def test_hidden_files_are_left_out(folder):
    write_box_glb(folder / ".aa.123.part.glb")
    write_box_glb(folder / ".trash" / "zz.glb")
    assert len(FolderStore(folder).assets()) == 3


def test_text_files_named_glb_are_listed_and_named_when_loaded(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.glb").write_text("a letter to a friend, not a model of anything")
    store = FolderStore(tmp_path)
    assert [(a.uid, a.num_faces) for a in store.assets()] == [("a", None), ("b", None)]
    with pytest.raises(ValueError, match=r"b\.glb: it is not a GLB file$"):
        store.load("b")


def test_counts_and_categories_come_from_annotations_or_the_header(folder):
    annotation = {"categories": [{"name": "pets"}, {"x": 1}], "faceCount": 7, "animationCount": 2}
    own = {"categories": ["boxes"], "num_faces": 5, "author": "Cy"}
    (folder / "annotations.json").write_text(json.dumps({"aa": annotation, "cc": own}))
    found = {
        a.uid: (a.categories, a.num_faces, a.num_animations) for a in FolderStore(folder).assets()
    }
    assert found == {
        "aa": (("pets",), 7, 2),
        "cc": (("boxes",), 5, 0),
        "red_box-2": ((), 12, 0),
    }


def test_odd_headers_state_nothing(tmp_path):
    odd = [{}, {"asset": 3}, {"meshes": [{"primitives": [{}]}]}, {"nodes": [{"mesh": 4}]}]
    endless = {"primitives": [{"attributes": {"POSITION": 0}}]}
    odd.append({"meshes": [endless], "accessors": [{"count": float("inf")}]})
    for number, header in enumerate(odd):
        (tmp_path / f"{number}.gltf").write_text(json.dumps(header))
    assert file_facts(tmp_path / "0.gltf") == {"num_faces": 0, "num_animations": 0}
    assert [file_facts(tmp_path / f"{n}.gltf") for n in (1, 2, 3, 4)] == [{}] * 4


def test_real_folder(objaverse):
    store = FolderStore(objaverse, objaverse / "captions.csv")
    assets = store.assets()
    assert len(assets) == 549
    assert all(asset.caption.startswith("a low-poly") for asset in assets)
    annotated = ObjaverseStore(objaverse, annotations="download").assets()
    counted = {asset.uid: asset.num_faces for asset in annotated}
    assert {asset.uid: asset.num_faces for asset in assets} == counted
    for asset in assets[::100]:
        assert len(store.load(asset.uid).faces) <= asset.num_faces


def test_a_file_that_is_deleted_while_the_store_is_open_is_named(folder):
    store = FolderStore(folder)
    store.load("aa")
    (folder / "glbs" / "aa.glb").unlink()
    with pytest.raises(FileNotFoundError, match=r"aa\.glb") as error:
        store.load("aa")
    assert "\n" not in str(error.value)
