import sys

import numpy as np
import pytest
from toy_encoders import ColorEncoder, VectorEncoder

from redream.retrieval import (
    AssetFilter,
    ExactRetriever,
    FaissRetriever,
    Retriever,
    ScannRetriever,
    exact_rows,
)
from redream.retrieval.writing import write_index
from redream.types import Asset

scann_only = pytest.mark.skipif(sys.platform != "linux", reason="ScaNN has wheels for Linux alone")
RETRIEVERS = [ExactRetriever, FaissRetriever, pytest.param(ScannRetriever, marks=scann_only)]


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


def test_each_ranking_ranks_by_what_it_says(colors):
    def ranked(**arguments):
        found = ExactRetriever(colors, ColorEncoder(), **arguments).retrieve("red", 4)
        return "".join(asset.uid for asset in found), found[0].scores

    assert ranked(ranking="text") == ("ABCD", {"text": pytest.approx(1.0, abs=1e-3)})
    order, scores = ranked(ranking="image")
    assert order == "BCAD" and list(scores) == ["image"]
    order, scores = ranked(ranking="sum", image_weight=0.25)
    assert order == "ABCD" and list(scores) == ["text", "image", "sum"]
    assert scores["sum"] == pytest.approx(0.75 * scores["text"] + 0.25 * scores["image"])
    assert ranked(ranking="sum", image_weight=0.75)[0] == "BACD"


def test_a_ranking_that_does_not_exist_is_one_line(colors):
    with pytest.raises(ValueError, match="choose from: two_stage, text, image, sum"):
        ExactRetriever(colors, ColorEncoder(), ranking="picture")
    with pytest.raises(ValueError, match="set ranking to text or image"):
        ExactRetriever(colors, ColorEncoder(), ranking="sum", image_weight=1.0)


def test_exact_rows_against_sorting_everything():
    rng = np.random.default_rng(1)
    vectors, query = rng.normal(size=(500, 8)).astype(np.float16), rng.normal(size=8)
    query = query.astype(np.float32)
    for allowed in (rng.random(500) < 0.5, np.ones(500, dtype=bool)):
        product = np.where(allowed, vectors.astype(np.float32) @ query, -np.inf)
        truth = np.argsort(-product, kind="stable")
        for num in (1, 7, int(allowed.sum())):
            rows = exact_rows(vectors, np.flatnonzero(allowed), query, num, chunk=64)
            np.testing.assert_array_equal(rows, truth[:num])


def test_equal_rows_keep_their_order_whatever_is_asked_for():
    rng = np.random.default_rng(2)
    row, query = (rng.normal(size=33).astype(np.float32) / 6.0 for _ in range(2))
    vectors = np.tile(row, (50, 1))
    for rows in (np.arange(50), np.arange(3, 50, 2)):
        for num in (1, 2, 7):
            np.testing.assert_array_equal(exact_rows(vectors, rows, query, num, 7), rows[:num])


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
