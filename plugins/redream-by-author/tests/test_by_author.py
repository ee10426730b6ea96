import pytest
from redream_by_author import ByAuthor

from redream.testing import RetrieverContract


class TestByAuthor(RetrieverContract):
    @pytest.fixture
    def retriever(self, index):
        return ByAuthor(index, author="Ada")

    def test_finds_the_author_and_the_words(self, retriever):
        found = retriever.retrieve("a golden elephant", 6)
        assert {asset.author for asset in found} == {"Ada"}
        assert found[0].scores["words"] > found[-1].scores["words"]
        with pytest.raises(ValueError, match="asked for 7 assets, but the index has 6 by Ada"):
            retriever.retrieve("a golden elephant", 7)
