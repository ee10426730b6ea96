"""An index of texts: the pictures of what a search finds are embedded then, and kept."""

import shutil

import numpy as np
import pytest
from toy_encoders import NAMED, ColorEncoder

from redream.retrieval import EmbeddingIndex, ExactRetriever
from redream.retrieval.writing import write_index
from redream.types import Asset

ASSETS = [Asset(f"{name}/{i}", f"a {name} box") for name in NAMED for i in range(3)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REDREAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def texts(tmp_path):
    vectors = ColorEncoder().encode_texts([asset.caption for asset in ASSETS]).numpy()
    write_index(tmp_path / "i", ASSETS, vectors, None, {"name": "colours", "init_args": {}})
    return tmp_path / "i"


def open_with(path, asked):
    """A retriever over an index; the third asset of each colour looks most like the prompt."""
    retriever = ExactRetriever(path, ColorEncoder(), num_candidates=3)

    def embed(uid):
        asked.append(uid)
        color, number = uid.split("/")
        vector = np.array(NAMED[color], dtype=np.float32) + 0.5 * (2 - int(number))
        return vector / np.linalg.norm(vector)

    retriever.index.image.embed = embed
    return retriever


def test_only_the_candidates_are_embedded_and_only_once(texts):
    asked = []
    found = open_with(texts, asked).retrieve("red", 2)
    assert [asset.uid for asset in found] == ["red/2", "red/1"]
    assert found[0].scores["image"] == pytest.approx(1.0, abs=2e-3)
    assert sorted(asked) == ["red/0", "red/1", "red/2"]
    again = []
    assert open_with(texts, again).retrieve("red", 2) == found
    assert again == []
    shutil.move(texts, texts.with_name("moved"))
    assert open_with(texts.with_name("moved"), again).retrieve("red", 2) == found
    assert again == []


def test_a_broken_vector_is_made_again(texts):
    found = open_with(texts, []).retrieve("red", 3)
    for path in (texts / "images").iterdir():
        path.write_bytes(b"abc")
    asked = []
    assert open_with(texts, asked).retrieve("red", 3) == found
    assert len(asked) == 3


def test_a_folder_that_cannot_be_written_leaves_it_to_the_users_cache(texts, cache):
    (texts / "images").write_text("no folder can be made here")
    found = open_with(texts, []).retrieve("red", 2)
    again = []
    assert open_with(texts, again).retrieve("red", 2) == found
    assert again == [] and len(list(cache.rglob("*.npy"))) == 3
    cache.rename(cache.with_name("gone"))
    cache.write_text("nor here")
    assert open_with(texts, again).retrieve("red", 2) == found
    assert len(again) == 3


def test_an_asset_that_cannot_be_shown_resembles_nothing(texts):
    retriever = open_with(texts, [])
    embed = retriever.index.image.embed

    def some(uid):
        if uid == "red/2":
            raise ValueError("its file is cut short")
        return embed(uid)

    retriever.index.image.embed = some
    with pytest.warns(UserWarning, match="cannot compare the pictures of red/2: its file is cut"):
        found = retriever.retrieve("red", 3)
    assert found[-1].uid == "red/2" and found[-1].scores["image"] == 0.0
    retriever.index.image.embed = embed
    assert retriever.retrieve("red", 1)[0].uid == "red/2"


def test_what_cannot_be_done_without_pictures_is_said(texts):
    with pytest.raises(ValueError, match="no store to make them from"):
        ExactRetriever(texts, ColorEncoder()).retrieve("red", 1)
    with pytest.raises(ValueError, match="cannot be searched by image alone"):
        EmbeddingIndex.open(texts).image[:]
