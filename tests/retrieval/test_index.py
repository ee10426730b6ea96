import json
import shutil

import numpy as np
import pytest
import torch
from toy_encoders import NAMED, ColorEncoder, save_random_clip

from redream.retrieval import EmbeddingIndex, Encoder, ExactRetriever, build_index
from redream.retrieval.build import pool
from redream.types import Asset

ASSETS = [
    Asset(f"{name}-{i}", f"a {name} box", license="by" if i else "cc0", author="Ann", source="s")
    for name in NAMED
    for i in range(2)
]


def pictures(uid):
    color = torch.tensor(NAMED[uid.split("-")[0]])
    return color[None, :, None, None].expand(4, 3, 16, 16)


def build(path, **arguments):
    return build_index(ASSETS, pictures, ColorEncoder(), path, progress=False, **arguments)


def test_round_trip(tmp_path):
    index = build(tmp_path / "index")
    assert len(index) == 6
    assert [index.asset(row) for row in range(6)] == ASSETS
    assert index.text.dtype == index.image.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(index.image.astype(float), axis=1), 1, atol=1e-3)
    truth = ColorEncoder().encode_texts([asset.caption for asset in ASSETS])
    np.testing.assert_allclose(index.text, truth, atol=1e-3)
    assert index.manifest["num_views"] == 4
    index.verify()
    names = {path.name for path in (tmp_path / "index").iterdir()}
    assert names == {"assets.parquet", "text.npy", "image.npy", "manifest.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_pooling_is_the_unit_mean():
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(pool(vectors), torch.full((2,), 0.5**0.5))


def test_an_asset_that_cannot_be_shown_is_named_and_left_out(tmp_path):
    def some(uid):
        if uid == "green-0":
            raise ValueError("cannot read green-0.glb: it is cut short")
        return pictures(uid)

    with pytest.warns(UserWarning, match="left green-0 out of the index: cannot read green-0.glb"):
        index = build_index(ASSETS, some, ColorEncoder(), tmp_path / "i", progress=False)
    assert len(index) == 5
    assert index.manifest["num_left_out"] == 1
    assert index.asset(2).uid == "green-1"
    np.testing.assert_allclose(index.image[2], index.text[2], atol=0.02)


def test_an_index_replaces_an_index_and_nothing_else(tmp_path):
    build(tmp_path / "index")
    (tmp_path / "index" / "scann").mkdir()
    build(tmp_path / "index")
    assert not (tmp_path / "index" / "scann").exists()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(ValueError, match="is no index"):
        build(tmp_path / "photos")
    assert {path.name for path in tmp_path.iterdir()} == {"index", "photos"}


def test_nothing_is_left_behind_when_building_fails(tmp_path, monkeypatch):
    monkeypatch.setattr("pyarrow.parquet.write_table", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(tmp_path / "index")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="no asset"):
        build_index([], pictures, ColorEncoder(), tmp_path / "i", progress=False)
    with pytest.raises(ValueError, match="one uid"):
        build_index(ASSETS * 2, pictures, ColorEncoder(), tmp_path / "i", progress=False)


@pytest.mark.parametrize("name", ["assets.parquet", "text.npy", "image.npy", "manifest.json"])
@pytest.mark.parametrize("fault", ["missing", "cut", "three bytes", "empty"])
def test_damage_is_one_line_that_says_what_to_do(tmp_path, name, fault):
    build(tmp_path / "index")
    path = tmp_path / "index" / name
    data = path.read_bytes()
    path.unlink()
    if fault != "missing":
        path.write_bytes(
            {"cut": data[: len(data) // 2], "three bytes": b"abc", "empty": b""}[fault]
        )
    with pytest.raises((ValueError, FileNotFoundError), match="build") as error:
        EmbeddingIndex.open(tmp_path / "index")
    assert "\n" not in str(error.value)
    assert str(tmp_path / "index") in str(error.value)


def test_same_size_damage_is_found_by_verify(tmp_path):
    index = build(tmp_path / "index")
    path = tmp_path / "index" / "text.npy"
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"text\.npy was changed"):
        EmbeddingIndex.open(index.path).verify()


def test_rows_must_agree_with_the_manifest(tmp_path):
    build(tmp_path / "index")
    path = tmp_path / "index" / "manifest.json"
    manifest = json.loads(path.read_text())
    for change in ({"count": 5}, {"dimension": 4}, {"format_version": 99}, {"files": 3}):
        path.write_text(json.dumps(manifest | change))
        with pytest.raises(ValueError, match="is broken"):
            EmbeddingIndex.open(tmp_path / "index")


def test_an_array_of_objects_is_never_unpickled(tmp_path):
    build(tmp_path / "index")
    np.save(tmp_path / "index" / "text.npy", np.array([{}] * 6), allow_pickle=True)
    path = tmp_path / "index" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["text.npy"]["bytes"] = (tmp_path / "index" / "text.npy").stat().st_size
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="is broken"):
        EmbeddingIndex.open(tmp_path / "index")


def test_store_and_encoder_are_found_again_after_a_move(tmp_path):
    home = tmp_path / "library"
    clip = save_random_clip(home / "clip", own_tokenizer=True)
    store = {"class_path": "FolderStore", "init_args": {"path": str(home), "n": 3}}
    encoder = Encoder(f"local-dir:{clip}", device="cpu")
    build_index(ASSETS, pictures, encoder, home / "index", store, progress=False)
    shutil.move(home, tmp_path / "moved")
    index = EmbeddingIndex.open(tmp_path / "moved" / "index")
    assert index.store == {
        "class_path": "FolderStore",
        "init_args": {"path": str(tmp_path / "moved"), "n": 3},
    }
    assets = ExactRetriever(index.path).retrieve("a box", 2)
    assert len(assets) == 2
    far = {"class_path": "FolderStore", "init_args": {"path": "/data/objaverse"}}
    index = build(tmp_path / "index", store=far)
    assert index.store == far
