"""Records of a large index: what its table says, read by their places, and never something else."""

import numpy as np
import pytest
from toy_encoders import VectorEncoder

from redream.retrieval import EmbeddingIndex, ExactRetriever, FaissRetriever
from redream.retrieval.records import Records, records_of
from redream.retrieval.writing import write_index
from redream.types import Asset

ASSETS = [
    Asset("a", 'a "dog",\nsaid Zo\u00eb', "by", "Ann", "https://x.org/a", ("pets", "\u732b")),
    Asset("b", "", num_faces=7, num_animations=0),
    Asset("c", "\\", categories=()),
]  # fmt: skip


def written(path, assets=ASSETS):
    text = np.random.default_rng(0).normal(size=(len(assets), 32))
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    return write_index(path, assets, text, text, {"name": "vectors-32", "init_args": {}})


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("REDREAM_CACHE", str(tmp_path / "cache"))


def test_they_say_what_the_table_says(tmp_path):
    index = written(tmp_path / "index", ASSETS * 300)  # of several groups of rows
    first, second = records_of(index), records_of(index)
    assert first is index.table and isinstance(second, Records)
    for rows in ([0, 1, 2], [899, 1, 1, 500], []):
        assert second.rows(rows) == index.table.rows(rows)
    for rows in ([900], [0, -1]):
        with pytest.raises(IndexError, match="of 900"):
            second.rows(rows)


def test_those_of_another_table_are_made_again(tmp_path):
    records_of(written(tmp_path / "index"))
    before = records_of(written(tmp_path / "index"))
    other = written(tmp_path / "index", [*ASSETS[:2], Asset("d", "another")])
    records_of(other)
    assert records_of(other).rows([2])[0]["uid"] == "d"
    assert before.rows([2])[0]["uid"] == "c"  # held open


def test_an_index_that_cannot_be_written_keeps_them_elsewhere(tmp_path, monkeypatch):
    index = written(tmp_path / "index")
    (tmp_path / "index" / "records").write_text("in the way")
    records_of(index)
    assert records_of(index).rows([0]) == index.table.rows([0])
    assert list((tmp_path / "cache").rglob("records.jsonl"))


@pytest.mark.parametrize(
    "line", [b"[1]", b"{}", b"[", b"\xff", b'["a","b",3,"","",null,null,null]']
)
def test_a_damaged_line_is_said_in_one(line, tmp_path):
    index = written(tmp_path / "index")
    records_of(index)
    path = tmp_path / "index" / "records" / "records.jsonl"
    lines = path.read_bytes().splitlines()
    lines[0] = line.ljust(len(lines[0]))
    path.write_bytes(b"\n".join(lines) + b"\n")
    records = records_of(index)
    assert records.rows([1]) == index.table.rows([1])
    with pytest.raises(ValueError, match=r"records\.jsonl is damaged: start again") as caught:
        records.rows([0])
    assert "\n" not in str(caught.value)


def test_one_that_is_cut_short_is_made_again_or_said(tmp_path):
    index = written(tmp_path / "index")
    records_of(index)
    records, path = records_of(index), tmp_path / "index" / "records" / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(OSError, match="cut short"):
        records.rows([2])
    records_of(index)
    assert records_of(index).rows([2]) == index.table.rows([2])
    np.save(path.with_name("starts.npy"), np.zeros(4))
    assert not isinstance(records_of(index), Records)


def test_a_search_of_a_large_index_gives_the_same_assets(tmp_path, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr("redream.retrieval.approximate.EXACT_BELOW", 100)
    assets = [Asset(str(i), f"a dog {i}", categories=("pets",)) for i in range(400)]
    written(tmp_path / "index", assets)
    exact = ExactRetriever(tmp_path / "index", VectorEncoder(32)).retrieve("1", 5)
    for _ in range(2):  # from the table, from the records
        found = FaissRetriever(
            tmp_path / "index", VectorEncoder(32), search_fraction=1.0, num_reranked=400
        ).retrieve("1", 5)
        assert found == exact
    assert (tmp_path / "index" / "records" / "records.jsonl").is_file()
    assert len(EmbeddingIndex.open(tmp_path / "index")) == 400
