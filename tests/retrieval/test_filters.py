import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_encoders import VectorEncoder

from redream.retrieval import AssetFilter, ExactRetriever
from redream.retrieval.table import AssetTable
from redream.retrieval.writing import write_index
from redream.types import Asset

ASSETS = [
    Asset("a", "", "cc0", categories=("animals", "art"), num_faces=100, num_animations=0),
    Asset("b", "", "by", categories=("art",), num_faces=50_000, num_animations=2),
    Asset("c", "", "by-nc", categories=(), num_faces=50_001, num_animations=None),
    Asset("d", "", "unknown", categories=("animals",), num_faces=None, num_animations=1),
]


@pytest.fixture
def index(tmp_path):
    text = np.eye(4)
    return write_index(tmp_path / "i", ASSETS, text, text, {"name": "vectors-4", "init_args": {}})


@pytest.mark.parametrize(
    ("conditions", "passing", "words"),
    [
        ({}, "abcd", ""),
        ({"licenses": ["cc0", "by"]}, "ab", "licence cc0 or by"),
        ({"licenses": ["unknown"]}, "", "licence unknown"),
        ({"licenses": []}, "", "licence of an empty list"),
        ({"categories": ["animals"]}, "ad", "category animals"),
        ({"categories": ["animals", "art"]}, "abd", "category animals or art"),
        ({"max_faces": 50_000}, "ab", "at most 50000 faces"),
        ({"animated": True}, "bd", "animated"),
        ({"animated": False}, "a", "not animated"),
        (
            {"licenses": ["by"], "categories": ["art"], "max_faces": 60_000, "animated": True},
            "b",
            "licence by, category art, at most 60000 faces, animated",
        ),
    ],
)
def test_what_passes(index, conditions, passing, words):
    condition = AssetFilter(**conditions)
    assert condition.mask(index).tolist() == [asset.uid in passing for asset in ASSETS]
    assert condition.describe() == words


def test_a_table_that_is_read_in_chunks(tmp_path, index):
    whole = pq.read_table(index.path / "assets.parquet")
    pq.write_table(whole, tmp_path / "chunks.parquet", row_group_size=1)
    chunks = AssetTable(tmp_path / "chunks.parquet")
    chunked = type(index)(index.path, index.manifest, chunks, index.text, index.image)
    assert AssetFilter(categories=["animals"]).mask(chunked).tolist() == [True, False, False, True]
    assert [chunked.asset(row) for row in range(4)] == ASSETS
    assert chunked.assets([3, 0, 3]) == [ASSETS[3], ASSETS[0], ASSETS[3]]


@pytest.mark.parametrize("size", [512, 8192])  # of a row group, as earlier versions wrote them
def test_rows_of_many_groups_are_read_together(size, tmp_path):
    num = 40_000
    assets = {name: ["x"] * num for name in ("caption", "license", "author", "source")}
    table = pa.table({"uid": [f"u{row}" for row in range(num)], **assets})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=size)
    read = AssetTable(tmp_path / "a.parquet", num)
    for rows in ([], [39_999, 0, 511, 512, 512], list(range(0, num, 37)), [0, 39_999]):
        assert [each["uid"] for each in read.rows(rows)] == [f"u{row}" for row in rows]
    for row in (-1, num):
        with pytest.raises(IndexError, match=f"row {row} of 40000"):
            read.rows([5, row])


def test_a_table_that_is_cut_short_is_said_in_a_line(tmp_path):
    num = 20_000
    assets = {name: [f"{row:032x}" for row in range(num)] for name in ("uid", "caption")}
    columns = assets | {name: ["x"] * num for name in ("license", "author", "source")}
    pq.write_table(pa.table(columns), tmp_path / "assets.parquet", row_group_size=512)
    read = AssetTable(tmp_path / "assets.parquet", num)
    assert read.rows([0])[0]["uid"] == f"{0:032x}"
    os.truncate(tmp_path / "assets.parquet", 4096)
    with pytest.raises(ValueError, match="is broken: .*too short"):
        read.rows([num - 1])


def test_the_ranking_sees_only_what_passes(index):
    some = ExactRetriever(index.path, VectorEncoder(4), 1, AssetFilter(max_faces=60_000))
    assert {asset.uid for asset in some.retrieve("anything", 3)} == {"a", "b", "c"}
    with pytest.raises(ValueError, match=r"has 3 that pass the filters \(at most 60000 faces\)"):
        some.retrieve("anything", 4)


def test_a_limit_that_nothing_can_meet_is_refused():
    with pytest.raises(ValueError, match="max_faces is 0"):
        AssetFilter(max_faces=0)
