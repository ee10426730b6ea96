"""Contracts of retrievers and stores, and a small index to hold retrievers to them."""

import importlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from redream.assets import Store
from redream.mini.prepare import WEIGHTS
from redream.plain_data import as_json
from redream.retrieval import Encoder, Retriever
from redream.retrieval.writing import write_index
from redream.types import Asset

ASSETS = tuple(
    Asset(
        f"{material}-{category}",
        f"a {material} {category}",
        license=("cc0", "by")[number % 2],
        author=("Ada", "Bob")[number % 2],
    )
    for number, (material, category) in enumerate(
        (material, category)
        for category in ("dog", "elephant", "vase", "chair")
        for material in ("golden", "wooden", "striped")
    )
)
"""What :meth:`RetrieverContract.index` holds: twelve assets, six by Ada and six by Bob."""


def index_captions(path: str | Path, assets: Sequence[Asset]) -> Path:
    """Writes an index for a test: the pictures' vectors are near to what the captions say.

    The encoder is the small CLIP of the embedded world, so a retriever finds it by itself.

    Args:
        path: The index folder.
        assets: What it holds.

    Returns:
        ``path``.
    """
    encoder = Encoder(str(WEIGHTS / "retrieval_clip"), device="cpu")
    text = encoder.encode_texts([asset.caption for asset in assets]).numpy()
    image = text + np.random.default_rng(0).normal(
        scale=0.2 / text.shape[1] ** 0.5, size=text.shape
    )
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    reference = {"name": encoder.name, "init_args": encoder.init_args}
    write_index(path, assets, text, image, reference)
    return Path(path)


class RetrieverContract:
    """What a :class:`~redream.retrieval.Retriever` promises. Override :meth:`retriever`."""

    prompts: Sequence[str] = ("a golden elephant", "a striped dog")
    """What is asked for; there must be at least three assets for each."""

    @pytest.fixture(scope="class")
    @classmethod
    def index(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """An index folder of :data:`ASSETS`."""
        return index_captions(tmp_path_factory.mktemp("library") / "index", ASSETS)

    @pytest.fixture
    def retriever(self, index: Path) -> Retriever:
        """The retriever under test."""
        raise NotImplementedError("override the fixture `retriever`")

    def test_is_a_retriever(self, retriever: Retriever) -> None:
        """It extends the base class, so that a config can name it."""
        assert isinstance(retriever, Retriever)

    @pytest.mark.parametrize("k", [1, 2, 3])
    def test_finds_k_different_assets(self, retriever: Retriever, k: int) -> None:
        """``k`` assets, no uid twice."""
        for prompt in self.prompts:
            found = retriever.retrieve(prompt, k)
            assert all(isinstance(asset, Asset) for asset in found)
            assert len(found) == len({asset.uid for asset in found}) == k

    def test_the_best_comes_first(self, retriever: Retriever) -> None:
        """By the last of the named similarities, and all assets name the same ones."""
        for prompt in self.prompts:
            scores = [asset.scores for asset in retriever.retrieve(prompt, 3)]
            assert len({tuple(each) for each in scores}) == 1
            ranks = [list(each.values())[-1] for each in scores if each]
            assert ranks == sorted(ranks, reverse=True)
            assert np.isfinite(ranks).all()

    def test_fewer_are_the_beginning_of_more(self, retriever: Retriever) -> None:
        """``k=1`` gives the first of ``k=3``."""
        for prompt in self.prompts:
            assert retriever.retrieve(prompt, 1) == retriever.retrieve(prompt, 3)[:1]

    def test_the_same_question_has_the_same_answer(self, retriever: Retriever) -> None:
        """Whatever was asked in between."""
        answers = [[retriever.retrieve(prompt, 3) for prompt in self.prompts] for _ in range(2)]
        assert answers[0] == answers[1]

    @pytest.mark.parametrize("prompt", ["", " \n"])
    def test_refuses_an_empty_prompt(self, retriever: Retriever, prompt: str) -> None:
        """With a ``ValueError`` of one line."""
        _refused(lambda: retriever.retrieve(prompt, 1))

    @pytest.mark.parametrize("k", [0, -1, 10**9])
    def test_refuses_more_than_there_are_and_less_than_one(
        self, retriever: Retriever, k: int
    ) -> None:
        """With a ``ValueError`` of one line that names the number."""
        assert str(k) in _refused(lambda: retriever.retrieve(self.prompts[0], k))


class StoreContract:
    """What a :class:`~redream.assets.Store` promises. Override :meth:`store`."""

    num_loaded = 3
    """How many of the assets are loaded by the checks."""

    @pytest.fixture
    def store(self) -> Store:
        """The store under test, with one asset at least."""
        raise NotImplementedError("override the fixture `store`")

    def test_is_a_store(self, store: Store) -> None:
        """It extends the base class, so that a config can name it."""
        assert isinstance(store, Store)

    def test_lists_each_asset_once_in_a_stable_order(self, store: Store) -> None:
        """Some assets, each with a uid of its own and a caption."""
        assets = store.assets()
        assert assets == store.assets() != []
        assert len({asset.uid for asset in assets}) == len(assets)
        assert all(asset.uid and asset.caption.strip() for asset in assets)

    def test_loads_into_the_ball_of_radius_0_9(self, store: Store) -> None:
        """The box's centre at the origin, the farthest vertex at 0.9, every index in range."""
        for asset in store.assets()[: self.num_loaded]:
            mesh = store.load(asset.uid)
            box = torch.stack([mesh.vertices.amin(0), mesh.vertices.amax(0)])
            torch.testing.assert_close(box.mean(0), torch.zeros(3), atol=1e-4, rtol=0.0)
            farthest = float(mesh.vertices.norm(dim=-1).max())
            assert farthest == pytest.approx(0.9, abs=1e-4)
            assert len(mesh.faces) > 0
            assert 0 <= int(mesh.faces.min()) <= int(mesh.faces.max()) < len(mesh.vertices)
            assert int(mesh.face_materials.max()) < len(mesh.materials)

    def test_refuses_an_unknown_uid_by_name(self, store: Store) -> None:
        """With a ``ValueError`` of one line that names it."""
        assert "no-such-uid" in _refused(lambda: store.load("no-such-uid"))

    def test_can_be_made_again_from_its_reference(self, store: Store) -> None:
        """``reference()`` survives JSON and names a class and arguments of an equal store."""
        reference = as_json(store.reference())
        module, _, name = reference["class_path"].rpartition(".")
        again = getattr(importlib.import_module(module), name)(**reference["init_args"])
        assert type(again) is type(store)
        assert again.assets() == store.assets()
        assert again.reference() == store.reference()


def _refused(call: object) -> str:
    """The one line of the ValueError that a call raises."""
    assert callable(call)
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    assert message and "\n" not in message
    return message
