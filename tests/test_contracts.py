"""Our own retrievers and stores keep the contracts, and the contracts see a breach."""

import sys

import pytest
import trimesh

from redream.assets import FolderStore
from redream.retrieval import ExactRetriever, FaissRetriever, Retriever, ScannRetriever
from redream.testing import ASSETS, RetrieverContract, StoreContract


@pytest.mark.parametrize("ranking", ["two_stage", "text", "image", "sum"])
class TestExactRetriever(RetrieverContract):
    @pytest.fixture
    def retriever(self, index, ranking):
        return ExactRetriever(index, ranking=ranking)


class TestFaissRetriever(RetrieverContract):
    """Through faiss, although the index is small."""

    @pytest.fixture
    def retriever(self, index, monkeypatch):
        pytest.importorskip("faiss")
        monkeypatch.setattr("redream.retrieval.approximate.EXACT_BELOW", 1)
        return FaissRetriever(index, search_fraction=1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="ScaNN has wheels for Linux alone")
class TestScannRetriever(RetrieverContract):
    """Of twelve assets ScaNN makes no partitions: what is tested is the road around it."""

    @pytest.fixture
    def retriever(self, index):
        return ScannRetriever(index)


class TestFolderStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        trimesh.creation.icosphere(subdivisions=1).export(tmp_path / "ball.glb")
        trimesh.creation.box((1, 2, 3)).apply_translation((5, 0, 0)).export(tmp_path / "box.ply")
        return FolderStore(tmp_path)


class Careless(Retriever):
    """Breaks one promise at a time."""

    def __init__(self, fault):
        self.fault, self.asked = fault, 0

    def retrieve(self, prompt, k):
        self.asked += 1
        if not prompt.strip() and self.fault != "no prompt":
            raise ValueError("the prompt is empty")
        if not 1 <= k <= len(ASSETS) and self.fault != "any k":
            raise ValueError(f"there are no {k}")
        assets = list(ASSETS)
        if self.fault == "restless":
            assets = assets[self.asked % 3 :] + assets[: self.asked % 3]
        if self.fault == "last first":
            assets = assets[k - 1 :: -1]
        return [assets[0]] * k if self.fault == "twice" else assets[:k]


@pytest.mark.parametrize(
    ("fault", "check", "arguments"),
    [
        ("no prompt", "test_refuses_an_empty_prompt", ("",)),
        ("any k", "test_refuses_more_than_there_are_and_less_than_one", (10**9,)),
        ("twice", "test_finds_k_different_assets", (3,)),
        ("restless", "test_the_same_question_has_the_same_answer", ()),
        ("last first", "test_fewer_are_the_beginning_of_more", ()),
    ],
)
def test_the_contract_sees_a_breach(fault, check, arguments):
    contract = getattr(RetrieverContract(), check)
    contract(Careless(None), *arguments)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        contract(Careless(fault), *arguments)
