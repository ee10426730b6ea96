"""How like a prompt an asset is: a scale read off the index, and what is left out by it."""

import numpy as np
import pytest

from redream.retrieval import EmbeddingIndex, ExactRetriever, Retriever
from redream.retrieval.likeness import Likeness, leave_out_unlike, likeness_of_index
from redream.retrieval.writing import write_index
from redream.types import Asset


def unit(vectors):
    vectors = np.asarray(vectors, dtype=np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def index_with(path, own, others, count=40, image=True):
    """An index whose captions and pictures have one cosine where they belong together, and one
    where they do not: a row each of a basis, and what all share."""
    together = np.sqrt(others)
    apart = np.sqrt(1.0 - others)
    text = np.concatenate([np.full((count, 1), together), apart * np.eye(count, 2 * count)], 1)
    turn = (own - others) / (1.0 - others)  # of the part that is a row's own
    mine = turn * np.eye(count, 2 * count)
    mine += np.sqrt(1.0 - turn**2) * np.eye(count, 2 * count, k=count)
    pictures = np.concatenate([np.full((count, 1), together), apart * mine], 1)
    assets = [Asset(str(i), f"asset {i}") for i in range(count)]
    encoder = {"name": "basis", "init_args": {}}
    write_index(path, assets, text, pictures if image else None, encoder)
    return path


@pytest.mark.parametrize(("own", "others"), [(0.9, 0.1), (0.31, 0.18)])  # as a CLIP's may be
def test_the_scale_is_what_the_index_says_of_captions_and_their_pictures(own, others, tmp_path):
    scale = likeness_of_index(EmbeddingIndex.open(index_with(tmp_path / "index", own, others)))
    assert scale.alike == pytest.approx(own, abs=2e-3)
    assert scale.unlike == pytest.approx(others, abs=2e-3)
    assert scale.of(own) == pytest.approx(1.0, abs=0.02)
    assert scale.of(others) == pytest.approx(0.0, abs=0.02)
    assert scale.of((own + others) / 2) == pytest.approx(0.5, abs=0.02)


def test_a_sample_of_a_large_index_says_what_all_of_it_says(tmp_path):
    rng = np.random.default_rng(0)
    text = unit(rng.normal(size=(3000, 16)) + 1.0)
    image = unit(text + rng.normal(scale=0.1, size=text.shape))
    assets = [Asset(str(i), f"asset {i}") for i in range(3000)]
    write_index(tmp_path / "index", assets, text, image, {"name": "n", "init_args": {}})
    scale = likeness_of_index(EmbeddingIndex.open(tmp_path / "index"))
    cosines = text @ image.T
    all_own = np.median(np.diagonal(cosines))
    all_others = cosines[~np.eye(3000, dtype=bool)].mean()
    assert scale.alike == pytest.approx(all_own, abs=0.02)
    assert scale.unlike == pytest.approx(all_others, abs=0.02)


def test_where_the_index_says_nothing_nothing_is_known(tmp_path):
    few = index_with(tmp_path / "few", 0.9, 0.1, count=7)
    against = index_with(tmp_path / "against", 0.2, 0.2)  # a caption says nothing of its picture
    texts = index_with(tmp_path / "texts", 0.9, 0.1, image=False)
    for path in (few, texts):
        assert likeness_of_index(EmbeddingIndex.open(path)) is None
    scale = likeness_of_index(EmbeddingIndex.open(against))
    assert scale is None or scale.alike - scale.unlike < 1e-3


class Known(Retriever):
    """Finds assets of known likenesses."""

    def retrieve(self, prompt, k):
        raise NotImplementedError

    def likeness(self, asset):
        return asset.scores.get("known")


def found(*likenesses):
    return [
        Asset(str(i), f"asset {i}", scores={} if each is None else {"known": each})
        for i, each in enumerate(likenesses)
    ]


@pytest.mark.parametrize(
    ("likenesses", "kept"),
    [
        ((0.6, 0.5, 0.4), "012"),
        ((0.6, 0.1, 0.4), "02"),
        ((0.6, 0.1, -0.2), "0"),
        ((0.1, 0.6, 0.1), "1"),  # the first of another ranking
        ((0.1, 0.05, 0.0), "0"),  # never none
        ((None, 0.1, None), "02"),  # nobody knows: it stays
        ((0.25,), "0"),
    ],
)
def test_the_unlike_are_left_out_beside_the_alike(likenesses, kept):
    assets = found(*likenesses)
    stay, line = leave_out_unlike(Known(), assets, 0.25)
    assert "".join(asset.uid for asset in stay) == kept
    for asset in assets:
        likeness = asset.scores.get("known")
        is_told = likeness is not None and likeness < 0.25
        assert (f"{asset.caption!r} ({likeness or 0:.2f})" in line) == is_told
    assert "\n" not in line


def test_what_to_do_is_said_where_nothing_is_alike():
    _, line = leave_out_unlike(Known(), found(0.1, 0.0), 0.25)
    assert line.startswith("nothing that was retrieved is much like the prompt: 'asset 0' (0.10)")
    assert "--data.assets" in line and "prolificdreamer.yaml" in line
    assert leave_out_unlike(Known(), found(0.1, 0.0), -np.inf)[1] == ""


def test_a_retriever_that_knows_no_likeness_loses_nothing():
    class Silent(Known):
        likeness = Retriever.likeness

    assets = found(0.1, 0.0)
    assert leave_out_unlike(Silent(), assets, 0.25) == (assets, "")


def test_the_embedded_library_leaves_out_no_asset_of_what_is_asked_for():
    from experiments.paper.world import WORLDS, read_prompts
    from redream.mini.prepare import embedded_world

    retriever = ExactRetriever(embedded_world().index)
    world = WORLDS["embedded"]
    for prompt in (*read_prompts(world.prompts), *read_prompts(world.tuning)):
        assets = retriever.retrieve(prompt, 3)
        assert leave_out_unlike(retriever, assets, 0.25) == (assets, ""), prompt
    ranked_by_text = ExactRetriever(embedded_world().index, ranking="text")
    (nearest,) = ranked_by_text.retrieve("a golden elephant", 1)
    assert ranked_by_text.likeness(nearest) is None  # its pictures were not looked at


def test_likeness_is_the_scales_of_the_cosine():
    assert Likeness(0.2, 0.7).of(0.45) == pytest.approx(0.5)
