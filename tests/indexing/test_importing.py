import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_encoders import ColorEncoder, VectorEncoder

from redream.indexing.importing import (
    Vectors,
    import_vectors,
    read_npy,
    read_parquet,
    read_uids,
)
from redream.retrieval.verifying import verify_index
from redream.types import Asset

UIDS = [f"u{i}" for i in range(5)]
RAW = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32) * 30.0
UNIT = RAW / np.linalg.norm(RAW, axis=1, keepdims=True)


def test_vectors_become_unit_and_keep_their_rows(tmp_path):
    np.save(tmp_path / "text.npy", RAW)
    np.save(tmp_path / "image.npy", np.stack([RAW, RAW * 2.0], axis=1))
    (tmp_path / "uids.txt").write_text("\n".join(UIDS) + "\n")
    (tmp_path / "uids.json").write_text(json.dumps(UIDS))
    assert read_uids(tmp_path / "uids.txt") == read_uids(tmp_path / "uids.json") == UIDS
    text, image = read_npy(tmp_path / "text.npy"), read_npy(tmp_path / "image.npy")
    known = [Asset("u1", "known", "by", "Ann", num_faces=3), Asset("other", "")]
    index = import_vectors(
        Vectors(UIDS, text, image),
        VectorEncoder(8),
        tmp_path / "i",
        {"u0": "a dog"},
        known,
        {"class_path": "FolderStore", "init_args": {"path": "/data"}},
    )
    verify_index(index)
    np.testing.assert_allclose(index.text, UNIT, atol=1e-3)
    np.testing.assert_allclose(index.image, UNIT, atol=1e-3)
    captions = [index.asset(row).caption for row in range(5)]
    assert captions == ["a dog", "known", "u2", "u3", "u4"]
    assert index.asset(1).license == "by" and index.asset(0).license == "unknown"
    assert index.store["init_args"] == {"path": "/data"}


@pytest.mark.parametrize("fixed", [True, False])
def test_a_table_of_vectors(tmp_path, fixed):
    kind = pa.list_(pa.float32(), 8) if fixed else pa.list_(pa.float64())
    columns = {
        "uid": UIDS,
        "image": pa.array(RAW.tolist(), type=kind),
        "caption": ["a red box", "green", "blue", None, "red"],
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    vectors = read_parquet(tmp_path / "t.parquet")
    assert list(vectors.uids) == UIDS and vectors.text is None
    np.testing.assert_allclose(vectors.image, RAW, rtol=1e-6)
    with pytest.raises(ValueError, match="no text vectors, and no caption to embed for u3"):
        import_vectors(vectors, VectorEncoder(8), tmp_path / "i")
    index = import_vectors(vectors, VectorEncoder(8), tmp_path / "i", {"u3": "a dog"})
    truth = VectorEncoder(8).encode_texts([index.asset(row).caption for row in range(5)])
    np.testing.assert_allclose(index.text, truth, atol=1e-3)


def test_texts_alone_make_an_index_of_texts(tmp_path):
    index = import_vectors(Vectors(UIDS, RAW, None), VectorEncoder(8), tmp_path / "i")
    assert not (tmp_path / "i" / "image.npy").exists() and len(index) == 5


def test_rows_without_a_direction_are_left_out(tmp_path):
    bad = RAW.copy()
    bad[1], bad[3, 0] = 0.0, np.nan
    with pytest.warns(UserWarning, match="left u1, u3 out"):
        index = import_vectors(Vectors(UIDS, RAW, bad), VectorEncoder(8), tmp_path / "i")
    verify_index(index)
    assert [index.asset(row).uid for row in range(3)] == ["u0", "u2", "u4"]
    assert set(index.manifest["left_out"]) == {"u1", "u3"}
    with pytest.raises(ValueError, match="nothing to import"):
        import_vectors(Vectors(UIDS, RAW * 0.0, None), VectorEncoder(8), tmp_path / "i")
    assert len(index) == 3


@pytest.mark.parametrize(
    ("vectors", "what"),
    [
        (Vectors([], RAW, None), "no uids"),
        (Vectors(["a"] * 5, RAW, None), "uid a comes twice"),
        (Vectors(UIDS[:4], RAW, None), "there are 4 uids, but 5 text vectors"),
        (Vectors(UIDS, RAW, RAW[:, :4]), "of one length, not \\[4, 8\\]"),
        (Vectors(UIDS, None, None), "text or image vectors"),
        (Vectors(UIDS, RAW[0], None), "numbers of rows and columns"),
        (Vectors(UIDS, RAW.astype(int), None), "numbers of rows and columns"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, vectors, what):
    with pytest.raises(ValueError, match=what):
        import_vectors(vectors, ColorEncoder(), tmp_path / "i")
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_none_are_one_line(tmp_path):
    path = tmp_path / "x"
    for read in (read_npy, read_parquet, read_uids):
        with pytest.raises(FileNotFoundError, match=str(path)):
            read(path)
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "uids.json").write_text('{"a": 1}')
    pq.write_table(pa.table({"id": UIDS}), tmp_path / "other.parquet")
    ragged = pa.table({"uid": ["a", "b"], "text": [[1.0], [1.0, 2.0, 3.0]]})
    pq.write_table(ragged, tmp_path / "ragged.parquet")
    path.write_bytes(b"abc")
    for read, name, what in (
        (read_npy, "x", "no .npy file"),
        (read_npy, "objects.npy", "no .npy file"),
        (read_parquet, "x", "no parquet file"),
        (read_parquet, "other.parquet", "no column uid; it has id"),
        (read_parquet, "ragged.parquet", "must all have one length"),
        (read_uids, "uids.json", "list of texts"),
    ):
        with pytest.raises(ValueError, match=what):
            read(tmp_path / name)
