import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
import pytest
from toy_encoders import NAMED, ColorEncoder, save_random_clip

from redream.retrieval import EmbeddingIndex, Encoder, ExactRetriever
from redream.retrieval.verifying import verify_index
from redream.retrieval.writing import write_index
from redream.types import Asset

ASSETS = [
    Asset(f"{name}-{i}", f"a {name} box", "by" if i else "cc0", "Ann", "s", ("box", name), 12, i)
    for name in NAMED
    for i in range(2)
]


def vectors(encoder):
    return encoder.encode_texts([asset.caption for asset in ASSETS]).numpy()


def build(path, image=True, encoder=None, store=None):
    encoder = encoder or ColorEncoder()
    reference = {"name": encoder.name, "init_args": encoder.init_args}
    text = vectors(encoder)
    return write_index(path, ASSETS, text, text if image else None, reference, store)


def test_round_trip(tmp_path):
    index = build(tmp_path / "index")
    assert len(index) == 6
    assert [index.asset(row) for row in range(6)] == ASSETS
    assert index.text.dtype == index.image.dtype == np.float16
    np.testing.assert_allclose(index.text, vectors(ColorEncoder()), atol=1e-3)
    verify_index(index)
    names = {path.name for path in (tmp_path / "index").iterdir()}
    assert names == {"assets.parquet", "text.npy", "image.npy", "manifest.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_an_index_of_the_first_format_still_opens(tmp_path):
    build(tmp_path / "index")
    table = tmp_path / "index" / "assets.parquet"
    pq.write_table(pq.read_table(table).drop_columns(["categories", "num_faces"]), table)
    edit_manifest(tmp_path / "index", format_version=1)
    asset = EmbeddingIndex.open(tmp_path / "index").asset(0)
    assert (asset.uid, asset.categories, asset.num_faces) == ("red-0", (), None)


def edit_manifest(folder, **changes):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for name, entry in manifest["files"].items():
        entry["bytes"] = (folder / name).stat().st_size
    path.write_text(json.dumps(manifest | changes))


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
    monkeypatch.setattr("pyarrow.parquet.write_table", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


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
    build(home / "index", encoder=encoder, store=store)
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


def test_an_index_is_read_alike_wherever_it_is_and_by_whoever_may_not_write(tmp_path):
    truth = ExactRetriever(build(tmp_path / "index").path, ColorEncoder()).retrieve("red", 3)
    shutil.copytree(tmp_path / "index", tmp_path / "far" / "copy")
    shutil.move(tmp_path / "index", tmp_path / "moved")
    for path in (tmp_path / "far" / "copy", tmp_path / "moved"):
        before = {file: file.stat().st_mtime_ns for file in path.iterdir()}
        for file in before:
            file.chmod(0o444)
        path.chmod(0o555)
        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(ask, [path] * 4)
        assert all(answer == truth for answer in answers)
        assert {file: file.stat().st_mtime_ns for file in path.iterdir()} == before
        path.chmod(0o755)


def ask(path):
    return ExactRetriever(path, ColorEncoder()).retrieve("red", 3)


def test_threads_that_open_it_at_once_find_it_whole(tmp_path):
    """Python 3.11 may fail to parse NumPy's headers in several threads at once."""
    index = build(tmp_path / "index").path
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(6) as pool:
            opened = list(pool.map(lambda _: len(EmbeddingIndex.open(index)), range(600)))
    finally:
        sys.setswitchinterval(interval)
    assert set(opened) == {len(ASSETS)}
