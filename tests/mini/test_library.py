"""The embedded library: what the package ships of it is what its sources make."""

import numpy as np
import pytest
import torch

from redream.cameras import turntable
from redream.indexing.build import embed_pictures, to_bytes
from redream.indexing.pictures import RenderedPictures
from redream.mini.captions import words
from redream.mini.library import individuals, make_asset
from redream.mini.prepare import LIBRARY_SEED, WEIGHTS, embedded_world
from redream.mini.store import EmbeddedLibrary
from redream.retrieval import EmbeddingIndex, Encoder, ExactRetriever
from redream.testing import StoreContract
from redream.tools.retrieve import open_store

AGAIN = "the shipped index is of another library or CLIP: python -m redream.mini.build_index"
CLOSE = 4e-3  # of unit vectors, one of them in half precision


@pytest.fixture(scope="module")
def index():
    return EmbeddingIndex.open(embedded_world().index)


@pytest.fixture(scope="module")
def encoder():
    return Encoder(str(WEIGHTS / "retrieval_clip"), device="cpu")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A fresh cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDREAM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield EmbeddedLibrary()


class TestEmbeddedLibrary(StoreContract):
    @pytest.fixture
    def store(self, kept):
        return kept


def test_the_shipped_index_is_of_this_library(index):
    shipped = [index.asset(row) for row in range(len(index))]
    expected = individuals(LIBRARY_SEED)
    assert sorted(a.uid for a in shipped) == sorted(i.uid for i in expected), AGAIN
    assert index.manifest["files"]["text.npy"]["bytes"] < 1 << 16
    category = {each.uid: each.category for each in expected}
    assert all(category[a.uid] in words(a.caption) for a in shipped), AGAIN
    for individual in expected[::40]:
        _, annotation = make_asset(individual)
        (asset,) = (each for each in shipped if each.uid == individual.uid)
        assert (asset.caption, asset.license) == (annotation["name"], "cc0"), AGAIN


def test_the_shipped_vectors_are_of_this_clip(index, encoder):
    assert index.encoder_name == encoder.name, AGAIN
    captions = [index.asset(row).caption for row in range(len(index))]
    torch.testing.assert_close(
        encoder.encode_texts(captions), torch.tensor(np.array(index.text)).float(),
        atol=CLOSE, rtol=0.0, msg=lambda told: f"{AGAIN}\n{told}",
    )  # fmt: skip


def test_the_shipped_pictures_vectors_are_of_these_shapes(index, encoder, kept):
    """A sample: rendering all takes half a minute."""
    made = index.manifest["pictures"]
    assert made["num_views"] == len(turntable(made["num_views"]).c2w)
    pictures = RenderedPictures(kept, encoder.image_size)
    assert pictures.settings() == made
    for row in range(0, len(index), 48):
        shown = to_bytes(pictures.pictures(index.asset(row).uid))
        expected = torch.tensor(np.array(index.image[row])).float()
        torch.testing.assert_close(
            embed_pictures([shown], encoder)[0], expected,
            atol=CLOSE, rtol=0.0, msg=lambda told: f"{AGAIN}\n{told}",
        )  # fmt: skip


def test_only_what_is_loaded_is_made(index, tmp_path, monkeypatch):
    monkeypatch.setenv("REDREAM_CACHE", str(tmp_path))
    store = open_store(index)
    assert isinstance(store, EmbeddedLibrary)
    found = ExactRetriever(embedded_world().index).retrieve("a striped dog", 2)
    assert all("dog" in words(asset.caption) for asset in found)
    assert not list(tmp_path.rglob("*.glb"))
    for asset in found:
        mesh = store.load(asset.uid)
        assert float(mesh.vertices.norm(dim=-1).max()) == pytest.approx(0.9, abs=1e-4)
    assert {path.stem for path in tmp_path.rglob("*.glb")} == {asset.uid for asset in found}
    (first, *_) = tmp_path.rglob("*.glb")
    stamp = first.stat().st_mtime_ns
    store.load(first.stem)
    assert first.stat().st_mtime_ns == stamp


def test_what_is_made_alone_is_what_the_whole_library_has(kept):
    individual = individuals(LIBRARY_SEED)[17]
    assert kept.file(individual.uid).read_bytes() == make_asset(individual)[0]


def test_an_unknown_uid_is_refused(kept):
    with pytest.raises(ValueError, match="the embedded library has no asset 'dog'"):
        kept.load("dog")
