"""A ReDream retriever that finds the assets of one author."""

from pathlib import Path

from redream.retrieval import EmbeddingIndex, Retriever
from redream.types import Asset


class ByAuthor(Retriever):
    """Ranks the assets of an author by how many of the prompt's words are in their captions.

    Args:
        index: The index folder.
        author: The author's name; everyone's assets by default.
    """

    def __init__(self, index: str | Path, author: str | None = None) -> None:
        self.index = EmbeddingIndex.open(index)
        self.author = author

    def retrieve(self, prompt: str, k: int) -> list[Asset]:
        """Finds ``k`` assets, those with most of the prompt's words first."""
        words = set(prompt.lower().split())
        if not words:
            raise ValueError("the prompt is empty: say what to look for")
        found = []
        for row in range(len(self.index)):
            asset = self.index.asset(row)
            if self.author in (None, asset.author):
                share = len(words & set(asset.caption.lower().split())) / len(words)
                found.append(self.index.asset(row, {"words": share}))
        if not 1 <= k <= len(found):
            whose = self.author or "everyone"
            raise ValueError(f"asked for {k} assets, but the index has {len(found)} by {whose}")
        return sorted(found, key=lambda asset: -asset.scores["words"])[:k]
