"""ScaNN and faiss against exact search, and what is kept of them."""

import json
import logging
import os
import sys

import numpy as np
import pytest
from toy_encoders import VectorEncoder

from redream.retrieval import (
    AssetFilter,
    EmbeddingIndex,
    ExactRetriever,
    FaissRetriever,
    ScannRetriever,
)
from redream.retrieval.approximate import usual_fraction
from redream.retrieval.vectors import AssetVectors, num_partitions
from redream.retrieval.writing import write_index
from redream.types import Asset

COUNT = 2000
RETRIEVERS = [
    FaissRetriever,
    pytest.param(
        ScannRetriever,
        marks=pytest.mark.skipif(sys.platform != "linux", reason="wheels for Linux alone"),
    ),
]
each_retriever = pytest.mark.parametrize("retriever", RETRIEVERS)


def clustered(path, seed=0):
    """Unit vectors in clusters; a third of the assets under each licence."""
    rng = np.random.default_rng(seed)
    centres, chosen = rng.normal(size=(40, 32)), rng.integers(40, size=COUNT)
    text, image = (centres[chosen] + spread * rng.normal(size=(COUNT, 32)) for spread in (0.5, 0.6))
    text, image = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (text, image))
    assets = [Asset(str(i), "", license=("cc0", "by", "by-nc")[i % 3]) for i in range(COUNT)]
    write_index(path, assets, text, image, {"name": "vectors-32", "init_args": {}})
    return path


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """An index for the tests that leave it as it is, but for what is kept beside it."""
    return clustered(tmp_path_factory.mktemp("shared") / "index")


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch, tmp_path):
    pytest.importorskip("faiss")
    monkeypatch.setattr("redream.retrieval.approximate.EXACT_BELOW", 300)
    monkeypatch.setenv("REDREAM_CACHE", str(tmp_path / "cache"))


def recall(index, retriever, k=10, **arguments):
    exact = ExactRetriever(index, VectorEncoder(32), **arguments)
    approximate = retriever(index, VectorEncoder(32), search_fraction=0.8, **arguments)
    shares = []
    for length in range(1, 21):
        truth, found = (
            {asset.uid for asset in each.retrieve("x" * length, k)} for each in (exact, approximate)
        )
        shares.append(len(truth & found) / k)
    return np.mean(shares)


@each_retriever
@pytest.mark.parametrize("ranking", ["two_stage", "text", "image", "sum"])
def test_nearly_all_that_exact_search_finds_is_found(shared, retriever, ranking):
    assert recall(shared, retriever, ranking=ranking) > 0.8
    assert recall(shared, retriever, ranking=ranking, filters=AssetFilter(["cc0"])) > 0.8


@each_retriever
def test_looking_everywhere_and_ranking_all_again_is_exact(shared, retriever):
    arguments = {"ranking": "sum", "image_weight": 0.3}
    exact = ExactRetriever(shared, VectorEncoder(32), **arguments)
    every = retriever(
        shared, VectorEncoder(32), search_fraction=1.0, num_reranked=COUNT, **arguments
    )
    assert every.retrieve("xx", 15) == exact.retrieve("xx", 15)


@each_retriever
def test_few_rows_are_compared_one_by_one(shared, retriever, monkeypatch):
    monkeypatch.setattr(retriever, "_probable", lambda *_: 1 / 0)
    monkeypatch.setattr("redream.retrieval.approximate.EXACT_BELOW", COUNT // 2)
    few = {"filters": AssetFilter(["by"])}
    truth = ExactRetriever(shared, VectorEncoder(32), **few).retrieve("xx", 600)
    assert retriever(shared, VectorEncoder(32), **few).retrieve("xx", 600) == truth
    with pytest.raises(ZeroDivisionError):
        retriever(shared, VectorEncoder(32)).retrieve("xx", 1)


@each_retriever
def test_never_fewer_than_there_are(shared, retriever):
    narrow = retriever(
        shared,
        VectorEncoder(32),
        filters=AssetFilter(["by-nc"]),
        search_fraction=0.01,
        num_reranked=1,
    )
    for k in (10, COUNT // 3):
        found = narrow.retrieve("x", k)
        assert len({asset.uid for asset in found}) == k
        assert {asset.license for asset in found} == {"by-nc"}


@each_retriever
def test_what_is_kept_moves_with_the_index_and_is_renewed(tmp_path, retriever, monkeypatch):
    name = retriever.__name__.removesuffix("Retriever").lower()

    def found(path, **arguments):  # whole, because ScaNN's partitions differ from time to time
        whole = {"search_fraction": 1.0, "num_reranked": COUNT, **arguments}
        return retriever(path, VectorEncoder(32), **whole).retrieve("x", 5)

    index = clustered(tmp_path / "index")
    truth = found(index)
    kept = sorted(path.name for path in (index / name / "text").iterdir())
    assert "key.json" in kept and not any(file.endswith(".pkl") for file in kept)
    moved = tmp_path / "moved"
    os.rename(index, moved)
    with monkeypatch.context() as patch:
        patch.setattr(retriever, "_make", lambda self: 1 / 0)
        assert found(moved) == truth
        assert len(found(moved, search_fraction=0.1)) == 5
        with pytest.raises(ZeroDivisionError):
            found(moved, ranking="image")
    for damaged in kept:
        (moved / name / "text" / damaged).write_bytes(b"abc")
        assert found(moved) == truth
    clustered(moved, seed=1)
    assert found(moved) == ExactRetriever(moved, VectorEncoder(32)).retrieve("x", 5) != truth
    assert not (tmp_path / "cache").exists()


@each_retriever
def test_a_read_only_index_is_answered_from_the_users_cache(
    tmp_path, retriever, monkeypatch, caplog
):
    index = clustered(tmp_path / "index")
    before = sorted(path.name for path in index.iterdir())
    truth = ExactRetriever(index, VectorEncoder(32), ranking="text").retrieve("x", 5)
    real = os.mkdir

    def read_only(path, *more, **named):
        if str(path).startswith(str(index)):
            raise PermissionError(f"read-only: {path}")
        real(path, *more, **named)

    monkeypatch.setattr("os.mkdir", read_only)
    whole = {"ranking": "text", "search_fraction": 1.0}
    with caplog.at_level(logging.INFO):
        assert retriever(index, VectorEncoder(32), **whole).retrieve("x", 5) == truth
    assert (
        "cannot be kept (read-only" in caplog.text and f"kept {tmp_path / 'cache'}" in caplog.text
    )
    assert sorted(path.name for path in index.iterdir()) == before
    monkeypatch.setattr(retriever, "_make", lambda self: 1 / 0)
    assert retriever(index, VectorEncoder(32), **whole).retrieve("x", 5) == truth


def test_no_pickle_is_read(tmp_path):
    pytest.importorskip("scann")
    index = clustered(tmp_path / "index")
    ScannRetriever(index, VectorEncoder(32)).retrieve("x", 5)
    (index / "scann" / "text" / "scann_docids.pkl").write_bytes(b"cposix\nabort\n(tR.")
    assert len(ScannRetriever(index, VectorEncoder(32)).retrieve("x", 5)) == 5
    assert not (index / "scann" / "text" / "scann_docids.pkl").exists()


def test_nearest_of_equal_length_are_the_most_similar(shared):
    index = EmbeddingIndex.open(shared)
    vectors = AssetVectors(index, 0.4)
    lifted, query = vectors.of_equal_length(slice(None)), np.asarray(index.text[7], np.float32)
    np.testing.assert_allclose(np.linalg.norm(lifted, axis=1), 1.0, atol=1e-5)
    distances = np.linalg.norm(lifted - vectors.query(query), axis=1)
    order = np.argsort(distances)
    np.testing.assert_allclose(vectors[order] @ query, np.sort(vectors[:] @ query)[::-1], atol=1e-6)
    assert json.loads(json.dumps(vectors.key)) == vectors.key != AssetVectors(index, 0.5).key


@pytest.mark.parametrize(
    ("retriever", "module", "way_out"),
    [
        (ScannRetriever, "scann.scann_ops.py", "use FaissRetriever or ExactRetriever"),
        (FaissRetriever, "faiss", r'pip install "redream\[faiss\]", or use ExactRetriever'),
    ],
)
def test_a_missing_library_is_one_line_with_the_way_out(
    shared, retriever, module, way_out, monkeypatch
):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=way_out):
        retriever(shared, VectorEncoder(32))


@each_retriever
def test_settings_out_of_range_are_one_line(shared, retriever):
    for settings in ({"search_fraction": 0.0}, {"search_fraction": 1.5}, {"num_reranked": 0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            retriever(shared, VectorEncoder(32), **settings)


@pytest.mark.parametrize(
    ("num_rows", "num_looked_into"), [(0, 0), (900, 30), (100_000, 32), (1_000_000, 50)]
)
def test_by_default_a_twentieth_is_looked_into_and_no_few(num_rows, num_looked_into):
    assert round(usual_fraction(num_rows) * num_partitions(num_rows)) == num_looked_into


@each_retriever
def test_what_is_looked_into_by_default_follows_the_index(shared, retriever):
    assert retriever(shared, VectorEncoder(32)).search_fraction == usual_fraction(COUNT)


@pytest.mark.skipif(os.name != "posix", reason="codes are mapped on Linux and macOS")
def test_codes_that_are_cut_short_are_said_in_a_line_and_made_anew(tmp_path):
    """Whoever looks at them is killed by SIGBUS."""
    index, ask = clustered(tmp_path / "index"), ("xx", 5)
    FaissRetriever(index, VectorEncoder(32), ranking="text").retrieve(*ask)  # makes them
    asked = FaissRetriever(index, VectorEncoder(32), ranking="text")
    found = asked.retrieve(*ask)
    os.truncate(index / "faiss" / "text" / "index.faiss", 100)
    with pytest.raises(OSError, match=r"index\.faiss was cut short .* start again"):
        asked.retrieve(*ask)
    assert FaissRetriever(index, VectorEncoder(32), ranking="text").retrieve(*ask) == found
