"""Assets that somebody has chosen, found again in the ranking."""

import pytest

from redream.retrieval.base import Retriever
from redream.retrieval.chosen import MOST, retrieve_chosen
from redream.types import Asset


class Ranking(Retriever):
    """``num`` assets, the nearer the smaller their number; notes how many were asked for."""

    def __init__(self, num, is_counted=True):
        self.num, self.is_counted, self.asked = num, is_counted, []

    def retrieve(self, prompt, k):
        self.asked.append(k)
        return [
            Asset(str(i), "a dog", "by", "Ann", "", scores={"text": 1.0 - i / 2000})
            for i in range(min(k, self.num))
        ]

    def most(self):
        return self.num if self.is_counted else None


def test_chosen_assets_come_in_the_order_of_the_ranking_with_its_scores():
    ranking = Ranking(100)
    found = retrieve_chosen(ranking, "a dog", ["40", "2", "2"], first=3)
    assert [asset.uid for asset in found] == ["2", "40"]
    assert found[1].scores == {"text": 1.0 - 40 / 2000}
    assert ranking.asked == [3, 12, 48]


def test_no_more_is_asked_for_than_was_shown():
    ranking = Ranking(100)
    retrieve_chosen(ranking, "a dog", ["1"], first=6)
    assert ranking.asked == [6]


@pytest.mark.parametrize(("num", "last"), [(10, 10), (5000, MOST)])
def test_what_is_not_found_is_named(num, last):
    ranking = Ranking(num)
    with pytest.raises(ValueError, match=f"'who' is not among the {last} assets nearest"):
        retrieve_chosen(ranking, "a dog", ["1", "who"])
    assert ranking.asked[-1] == last
