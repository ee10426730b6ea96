import os
import sys

import numpy as np
import pytest
from toy_encoders import ColorEncoder, VectorEncoder

from redream.retrieval import AssetFilter, ExactRetriever, Retriever, ScannRetriever
from redream.retrieval.two_stage import exact_rows
from redream.retrieval.writing import write_index
from redream.types import Asset

scann_only = pytest.mark.skipif(sys.platform != "linux", reason="ScaNN has wheels for Linux alone")
RETRIEVERS = [ExactRetriever, pytest.param(ScannRetriever, marks=scann_only)]


def unit(vectors):
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def random_index(path, count, dimension=32, seed=0):
    rng = np.random.default_rng(seed)
    assets = [
        Asset(str(i), f"asset {i}", license=("cc0", "by", "by-nc")[i % 3]) for i in range(count)
    ]
    text, image = (unit(rng.normal(size=(count, dimension))) for _ in range(2))
    write_index(path, assets, text, image, {"name": f"vectors-{dimension}", "init_args": {}})
    return path


@pytest.fixture
def colors(tmp_path):
    """Captions and pictures that partly disagree: B's picture is redder than A's."""
    assets = [
        Asset("A", "red"),
        Asset("B", "red and green"),
        Asset("C", "blue"),
        Asset("D", "green"),
    ]
    text = unit([[1, 0, 0], [1, 0.9, 0], [0, 0, 1], [0, 1, 0]])
    image = unit([[0.5, 0, 0.5], [1, 0, 0], [1, 0, 0], [0, 1, 0]])
    write_index(tmp_path / "index", assets, text, image, {"name": "colours", "init_args": {}})
    return tmp_path / "index"


@pytest.mark.parametrize("retriever", RETRIEVERS)
def test_text_chooses_then_image_ranks(colors, retriever):
    found = retriever(colors, ColorEncoder(), num_candidates=2).retrieve("red", 2)
    assert [asset.uid for asset in found] == ["B", "A"]  # C has the reddest picture, not by text
    assert found[0].scores["image"] == pytest.approx(1.0, abs=1e-3)
    assert found[1].scores["text"] == pytest.approx(1.0, abs=1e-3)
    assert found[0].caption == "red and green"
    more = retriever(colors, ColorEncoder(), num_candidates=4).retrieve("red", 2)
    assert {asset.uid for asset in more} == {"B", "C"}
    assert len(retriever(colors, ColorEncoder(), num_candidates=1).retrieve("red", 4)) == 4


@scann_only
@pytest.mark.parametrize("count", [1, 5, 700])
def test_scann_equals_exact(tmp_path, count):
    encoder = VectorEncoder(32)
    index = random_index(tmp_path / "index", count)
    for licenses in (None, ["cc0"]):
        exact = ExactRetriever(index, encoder, 20, AssetFilter(licenses))
        scann = ScannRetriever(index, encoder, 20, AssetFilter(licenses))
        for length in range(1, 12):
            k = min(count, 5) if licenses is None else 1
            assert exact.retrieve("x" * length, k) == scann.retrieve("x" * length, k)


@scann_only
def test_scanns_tree_finds_nearly_what_exact_finds(tmp_path, monkeypatch):
    monkeypatch.setattr("redream.retrieval.scann._EXACT_BELOW", 1000)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 32))
    vectors = unit(centres[rng.integers(40, size=4000)] + 0.5 * rng.normal(size=(4000, 32)))
    assets = [Asset(str(i), "") for i in range(4000)]
    write_index(tmp_path / "i", assets, vectors, vectors, {"name": "vectors-32", "init_args": {}})
    exact = ExactRetriever(tmp_path / "i", VectorEncoder(32), 10)
    scann = ScannRetriever(tmp_path / "i", VectorEncoder(32), 10, search_fraction=0.5)
    recalls = []
    for length in range(1, 21):
        truth, found = (
            {asset.uid for asset in retriever.retrieve("x" * length, 10)}
            for retriever in (exact, scann)
        )
        recalls.append(len(truth & found) / 10)
    assert np.mean(recalls) > 0.9


def test_exact_rows_against_sorting_everything():
    rng = np.random.default_rng(1)
    vectors, query = rng.normal(size=(500, 8)).astype(np.float16), rng.normal(size=8)
    allowed = rng.random(500) < 0.5
    product = np.where(allowed, vectors.astype(np.float32) @ query.astype(np.float32), -np.inf)
    truth = np.argsort(-product, kind="stable")
    for num in (1, 7, int(allowed.sum())):
        rows = exact_rows(vectors, allowed, query.astype(np.float32), num, chunk=64)
        np.testing.assert_array_equal(rows, truth[:num])


@pytest.mark.parametrize("retriever", RETRIEVERS)
def test_licences_filter_before_ranking(tmp_path, retriever):
    index = random_index(tmp_path / "index", 60)
    found = retriever(index, VectorEncoder(32), 3, AssetFilter(["by", "cc0"])).retrieve(
        "anything", 40
    )
    assert len({asset.uid for asset in found}) == 40
    assert {asset.license for asset in found} == {"by", "cc0"}
    with pytest.raises(
        ValueError, match=r"for 21 assets, but the index has 20 that .* \(licence by-nc\)"
    ):
        retriever(index, VectorEncoder(32), 3, AssetFilter(["by-nc"])).retrieve("anything", 21)


@pytest.mark.parametrize("retriever", RETRIEVERS)
def test_bad_requests_are_one_line(colors, tmp_path, retriever):
    assert issubclass(retriever, Retriever)
    ready = retriever(colors, ColorEncoder())
    for prompt in ("", "  \n"):
        with pytest.raises(ValueError, match="prompt is empty"):
            ready.retrieve(prompt, 1)
    with pytest.raises(ValueError, match="asked for 5 assets, but the index has 4"):
        ready.retrieve("red", 5)
    with pytest.raises(ValueError, match="asked for 0"):
        ready.retrieve("red", 0)
    with pytest.raises(ValueError, match="built with encoder colours, not other"):
        retriever(colors, ColorEncoder("other"))
    with pytest.raises(FileNotFoundError, match="there is no index"):
        retriever(tmp_path / "absent", ColorEncoder())
    with pytest.raises(ValueError, match="num_candidates"):
        retriever(colors, ColorEncoder(), num_candidates=0)


@scann_only
def test_scanns_files_are_kept_moved_and_renewed(tmp_path, monkeypatch):
    encoder = VectorEncoder(32)
    index = random_index(tmp_path / "index", 50)
    truth = ScannRetriever(index, encoder).retrieve("x", 5)
    assert (index / "scann" / "key.json").is_file()
    moved = tmp_path / "moved"
    os.rename(index, moved)
    with monkeypatch.context() as patch:
        patch.setattr(ScannRetriever, "_build", lambda self: 1 / 0)
        assert ScannRetriever(moved, encoder).retrieve("x", 5) == truth
    for damage in ("scann_assets.pbtxt", "key.json", "scann_config.pb"):
        (moved / "scann" / damage).write_bytes(b"abc")
        assert ScannRetriever(moved, encoder).retrieve("x", 5) == truth
    random_index(moved, 50, seed=1)
    exact = ExactRetriever(moved, encoder).retrieve("x", 5)
    assert ScannRetriever(moved, encoder).retrieve("x", 5) == exact != truth


@scann_only
def test_no_pickle_is_read(tmp_path):
    index = random_index(tmp_path / "index", 50)
    truth = ScannRetriever(index, VectorEncoder(32)).retrieve("x", 5)
    (index / "scann" / "scann_docids.pkl").write_bytes(b"cposix\nabort\n(tR.")
    assert ScannRetriever(index, VectorEncoder(32)).retrieve("x", 5) == truth


@scann_only
def test_an_index_that_cannot_be_written_still_answers(tmp_path, monkeypatch):
    index = random_index(tmp_path / "index", 50)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert len(ScannRetriever(index, VectorEncoder(32)).retrieve("x", 5)) == 5
    assert not (index / "scann").exists()


def test_without_scann_the_error_names_the_way_out(colors, monkeypatch):
    monkeypatch.setitem(sys.modules, "scann.scann_ops.py", None)
    with pytest.raises(ValueError, match="use ExactRetriever"):
        ScannRetriever(colors, ColorEncoder())
