"""Several sources in one ranking: the floor, the licences, and whose each asset is."""

import pytest

from redream.assets import FolderStore
from redream.assets.attribution import model_extras, write_attribution
from redream.mini.generator import EmbeddedGenerator
from redream.mini.prepare import embedded_world
from redream.mini.store import EmbeddedLibrary
from redream.retrieval import AssetFilter, ExactRetriever, FaissRetriever, Retriever
from redream.sources import GenerativeRetriever, MixedRetriever, Source, StoreRetriever
from redream.testing import RetrieverContract
from redream.types import Asset

PROMPT = "a golden elephant"


@pytest.fixture
def library(encoder):
    return Source(ExactRetriever(embedded_world().index, encoder), EmbeddedLibrary())


@pytest.fixture
def mixed(encoder, library, boxes, tmp_path):
    """Mixes the library with boxes; gives the generator, too."""

    def mix(**options):
        generator = boxes()
        made = GenerativeRetriever(generator, encoder, cache_dir=tmp_path / "made")
        sources = {"library": library, "generated": Source(made)}
        return MixedRetriever(sources, **options), generator

    return mix


@pytest.mark.parametrize("floor", [None, 0.0, 0.99])
class TestMixedRetriever(RetrieverContract):
    @pytest.fixture(scope="class")
    @classmethod
    def kept(cls, tmp_path_factory):
        return tmp_path_factory.mktemp("generated")

    @pytest.fixture
    def retriever(self, encoder, index, kept, floor):
        made = GenerativeRetriever(EmbeddedGenerator(), encoder, cache_dir=kept)
        stores = {"library": EmbeddedLibrary()}
        sources = {
            "library": Source(ExactRetriever(index, encoder), stores["library"]),
            "generated": Source(made),
        }
        return MixedRetriever(sources, floor=floor)


def test_all_are_ranked_by_one_score_and_told_by_their_source(mixed):
    found = mixed()[0].retrieve(PROMPT, 243)
    scores = [asset.scores["image"] for asset in found]
    assert scores == sorted(scores, reverse=True)
    assert {asset.origin for asset in found} == {"library", "generated"}
    assert all(asset.uid.startswith(f"{asset.origin}/") for asset in found)
    assert {(asset.origin, asset.license) for asset in found} == {
        ("library", "cc0"),
        ("generated", "by"),
    }


def test_how_like_an_asset_is_says_the_source_that_found_it(mixed, library):
    retriever, _ = mixed()
    nearest = library.retriever.retrieve(PROMPT, 1)[0]
    by_origin = {asset.origin: asset for asset in retriever.retrieve(PROMPT, 243)}
    found = next(a for a in retriever.retrieve(PROMPT, 243) if a.uid == f"library/{nearest.uid}")
    assert retriever.likeness(found) == library.retriever.likeness(nearest)
    assert 0.25 < retriever.likeness(found) < 1.0
    assert retriever.likeness(by_origin["generated"]) is None  # whose makers have no such scale


def test_what_reaches_the_floor_is_kept_and_else_something_is_made(mixed, library):
    nearest = library.retriever.retrieve(PROMPT, 3)
    scores = [asset.scores["image"] for asset in nearest]
    retriever, generator = mixed(floor=scores[2])
    assert [a.uid for a in retriever.retrieve(PROMPT, 3)] == [f"library/{a.uid}" for a in nearest]
    assert generator.asked == []  # nothing is made for nothing
    retriever, generator = mixed(floor=(scores[1] + scores[2]) / 2)
    found = retriever.retrieve(PROMPT, 5)
    assert sorted(a.origin for a in found) == ["generated"] * 3 + ["library"] * 2
    assert len(generator.asked) == 3
    with pytest.raises(ValueError, match="asked for 6 assets, but there are 5 that count"):
        retriever.retrieve(PROMPT, 6)
    retriever, _ = mixed(floor=2.0)
    assert {asset.origin for asset in retriever.retrieve(PROMPT, 3)} == {"generated"}


def test_licences_hold_for_all_sources(mixed):
    retriever, generator = mixed()
    with pytest.warns(UserWarning, match="source generated has no asset of licence cc0: left out"):
        retriever.restrict(["cc0"])
    assert {asset.license for asset in retriever.retrieve(PROMPT, 3)} == {"cc0"}
    assert generator.asked == []
    retriever, _ = mixed()
    with pytest.warns(UserWarning, match="source library has no asset"):
        retriever.restrict(["by"])
    assert {asset.license for asset in retriever.retrieve(PROMPT, 3)} == {"by"}


@pytest.mark.parametrize("kind", [ExactRetriever, FaissRetriever])
def test_a_licence_is_asked_for_beside_a_retrievers_own_filters(kind, encoder, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr("redream.retrieval.approximate.EXACT_BELOW", 1)
    index = embedded_world().index
    retriever = kind(index, encoder, filters=AssetFilter(licenses=["by", "cc0"]))
    assert len(retriever.retrieve(PROMPT, 2)) == 2  # what it keeps of the rows is made
    retriever.restrict(["cc0", "by-sa"])
    assert retriever.most() == 240 and len(retriever.retrieve(PROMPT, 2)) == 2
    retriever.restrict(["by-sa"])
    assert retriever.most() == 0
    with pytest.raises(ValueError, match="the index has 0 that pass"):
        retriever.retrieve(PROMPT, 1)


def test_who_does_not_know_licences_says_so(encoder):
    class Silent(Retriever):
        def retrieve(self, prompt, k):
            return []

    with pytest.raises(ValueError, match="Silent cannot choose by licence"):
        Silent().restrict(["cc0"])


def test_the_store_loads_from_each_source_and_completes(mixed, tmp_path):
    retriever, _ = mixed()
    found = retriever.retrieve(PROMPT, 243)
    for asset in found[:1] + [each for each in found if each.origin == "generated"][:1]:
        assert len(retriever.store.load(asset.uid).faces) > 0
        assert retriever.store.complete(asset) == asset
    for wrong in ("library/none", "other/1", "library", "generated/../../etc"):
        with pytest.raises(ValueError):
            retriever.store.load(wrong)
    write_attribution(PROMPT, found, tmp_path / "attribution.md")
    said = (tmp_path / "attribution.md").read_text()
    assert said.count("a maker of boxes") == 3 and said.count("taken from: generated") == 3
    assert said.count("taken from: library") == 240
    assert {each["license"] for each in model_extras(PROMPT, found)["attribution"]} == {"cc0", "by"}


def test_own_files_are_a_source_as_well(encoder, library, boxes, tmp_path):
    boxes().generate("", 0, tmp_path / "my chair.glb")
    mine = Source(StoreRetriever(FolderStore(tmp_path), encoder))
    retriever = MixedRetriever({"library": library, "mine": mine})
    found = {asset.uid: asset for asset in retriever.retrieve("a chair", 241)}
    assert found["mine/my chair"].origin == "mine"


def test_scores_that_mean_different_things_are_not_compared(encoder, library, tmp_path, boxes):
    made = GenerativeRetriever(boxes(), encoder, cache_dir=tmp_path)
    by_text = Source(ExactRetriever(embedded_world().index, encoder, ranking="text"), library.store)
    retriever = MixedRetriever({"library": by_text, "made": Source(made)})
    with pytest.raises(ValueError, match="library by text, made by image"):
        retriever.retrieve(PROMPT, 1)


def test_wrong_mixtures_are_refused_in_a_line(library, encoder, tmp_path, boxes):
    made = GenerativeRetriever(boxes(), encoder, cache_dir=tmp_path)
    for sources, said in (
        ({}, "needs sources"),
        ({"a/b": library}, "letters and digits"),
        ({"library": Source(library.retriever)}, "has no store"),
        ({"made": Source(made, library.store)}, "leave out the store"),
    ):
        with pytest.raises(ValueError, match=said):
            MixedRetriever(sources)
    with pytest.raises(ValueError, match="enough is 0"):
        MixedRetriever({"library": library}, enough=0)
    assert Asset("u", "c").origin == "library"
