"""Folders as libraries publish them: one name for every model, Z-up sources, curated lists."""

import json

import pytest
import torch
from fabricated import write_box_glb

from redream.assets import FolderStore, OwnFiles
from redream.assets.uid_lists import read_uid_list

FIRST, SECOND = "8476c4170df24cf5bbe6967222d1a42d", "00f6b2880894d42c56935f281049f30e"


def write_obj(path, height=(0.0, 2.0, 0.0)):
    """A tetrahedron that is tall along one axis."""
    path.parent.mkdir(parents=True, exist_ok=True)
    points = ((0, 0, 0), (1, 0, 0), (0, 0.5, 0.5), height)
    lines = [f"v {x} {y} {z}" for x, y, z in points]
    path.write_text("\n".join([*lines, "f 1 2 3", "f 1 2 4", "f 2 3 4", "f 3 1 4\n"]))


@pytest.fixture
def scanned(tmp_path):
    """Google Scanned Objects' layout, beside a file with a name of its own."""
    for name in ("Blue_Chair", "table-2"):
        write_obj(tmp_path / name / "meshes" / "model.obj")
    write_obj(tmp_path / "lamp.obj")
    (tmp_path / "captions.csv").write_text("Blue_Chair/meshes/model,a blue chair\nlamp,a lamp\n")
    return tmp_path


def test_models_of_one_name_have_their_paths_as_uids(scanned):
    with pytest.warns(UserWarning, match="no caption for 1 of 3 assets.*table-2/meshes/model"):
        named = {each.uid: each.caption for each in FolderStore(scanned).assets()}
    assert named == {
        "Blue_Chair/meshes/model": "a blue chair",
        "lamp": "a lamp",
        "table-2/meshes/model": "table 2",
    }
    store = FolderStore(scanned)
    assert len(store.load("table-2/meshes/model").faces) == 4
    with pytest.raises(ValueError, match="no asset 'model'"):
        store.load("model")


def test_uids_stay_when_other_models_come(scanned):
    before = set(FolderStore(scanned)._files)
    write_obj(scanned / "stool" / "meshes" / "model.obj")
    write_obj(scanned / "cup.obj")
    after = set(FolderStore(scanned)._files)
    assert after == before | {"stool/meshes/model", "cup"}


def test_files_that_differ_by_their_suffix_alone_keep_it(tmp_path):
    """Khronos's samples: a model in several formats, some of one name in one folder."""
    write_box_glb(tmp_path / "Box" / "glTF-Binary" / "Box.glb")
    write_box_glb(tmp_path / "Box" / "both" / "Box.glb")
    write_obj(tmp_path / "Box" / "both" / "Box.obj")
    assert set(FolderStore(tmp_path)._files) == {
        "Box/glTF-Binary/Box",
        "Box/both/Box.glb",
        "Box/both/Box.obj",
    }


def test_what_points_up_in_the_file_points_up_in_the_world(tmp_path):
    write_obj(tmp_path / "a.obj", height=(0.0, 0.0, 2.0))
    upright = FolderStore(tmp_path, up="z")
    mesh = upright.load("a")
    extent = mesh.vertices.amax(0) - mesh.vertices.amin(0)
    assert extent.argmax() == 1
    own = OwnFiles([tmp_path / "a.obj"], ["x"], "z").load("0")
    torch.testing.assert_close(own.vertices, mesh.vertices)
    again = FolderStore(**upright.reference()["init_args"])
    assert again.up == "z" and again.reference() == upright.reference()
    plain = FolderStore(tmp_path)
    assert "up" not in plain.reference()["init_args"]
    x, y, z = plain.load("a").vertices.T
    torch.testing.assert_close(mesh.vertices, torch.stack([x, z, -y], dim=1))
    front = plain.load("a").corner_normals
    turned = torch.stack([front[..., 0], front[..., 2], -front[..., 1]], dim=-1)
    torch.testing.assert_close(mesh.corner_normals, turned)


LISTS = {
    "plain.json": json.dumps([FIRST, SECOND]),
    "paths.json": json.dumps([f"000-023/{FIRST}.glb", f"https://sketchfab.com/3d-models/{SECOND}"]),
    "objects.json": json.dumps([{"uid": FIRST, "score": 1}, {"uid": SECOND}]),
    "by_uid.json": json.dumps({FIRST: {"score": 1}, SECOND: {}}),
    "categories.json": json.dumps({"dog": [FIRST], "cat": [SECOND, FIRST]}),
    "trellis.csv": (
        "sha256,file_identifier,aesthetic_score,captions\n"
        f'ab,https://sketchfab.com/3d-models/{FIRST},5.1,"[""a, b""]"\n'
        f"cd,https://sketchfab.com/3d-models/{SECOND},5.2,x\n"
    ),
    "bare.csv": f"{FIRST},1\n{SECOND},2\n",
    "lines.txt": f"{FIRST}\n\n{SECOND}\n{FIRST}\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_curated_list_is_read_as_it_is_published(name, tmp_path):
    (tmp_path / name).write_text(LISTS[name])
    assert list(read_uid_list(tmp_path / name)) == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "{", "no list of uids"),
        ("a.json", "3", "neither a list nor an object"),
        ("a.json", "[[1]]", "an entry has no uid"),
        ("a.json", "[]", "names no uid"),
        ("a.csv", "", "names no uid"),
    ],
)
def test_what_is_no_list_is_one_line(name, text, said, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        read_uid_list(tmp_path / name)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no list of uids at"):
        read_uid_list(tmp_path / "absent.csv")
