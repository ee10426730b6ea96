"""What a least likeness leaves out, by counts that are known and by the embedded library."""

from experiments.paper import likeness
from experiments.paper.likeness import Likenesses
from redream.mini.prepare import embedded_world
from redream.retrieval import ExactRetriever


def test_counts_are_of_right_assets_of_nearest_ones_and_of_wrong_ones():
    found = [Likenesses([0.6, 0.5, 0.2], 0.3), Likenesses([0.2, 0.1], 0.1), Likenesses([], 0.05)]
    assert likeness.left_out(found, 0.25) == ["3 of 5", "1 of 2", "2 of 3"]
    assert likeness.left_out(found, 0.0) == ["0 of 5", "0 of 2", "0 of 3"]
    page = likeness.record({"tuning": dict(zip("abc", found, strict=True))}, quick=False).page()
    assert "| 0.25 | 3 tuning | 3 of 5 | 1 of 2 | 2 of 3 |" in page
    assert "Unfinished" not in page


def test_right_assets_are_of_the_prompts_category_and_the_wrong_one_is_the_nearest_other():
    retriever = ExactRetriever(embedded_world().index)
    right, wrong = likeness.likenesses(retriever, "a spotted dog")
    assert len(right) == 3 and right == sorted(right, reverse=True)
    others = [
        asset
        for asset in retriever.retrieve("a spotted dog", len(retriever.index))
        if not asset.caption.endswith("dog")
    ]
    assert wrong == retriever.likeness(others[0]) < right[0]
