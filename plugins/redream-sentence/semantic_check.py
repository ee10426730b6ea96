"""Asks forty questions in other words than the captions', and prints what was found.

Run with ``python plugins/redream-sentence/semantic_check.py ../shared/objaverse/captions.csv``.
"""

import argparse
import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from redream_sentence import SentenceRetriever

from redream.testing import index_captions
from redream.types import Asset

QUERIES = Path(__file__).with_name("queries.csv")


class Answer(NamedTuple):
    """What a query found.

    Attributes:
        query: The query.
        expected: Words of which one must be in a caption.
        captions: The captions found, best first.
    """

    query: str
    expected: tuple[str, ...]
    captions: tuple[str, ...]

    @property
    def is_found(self) -> bool:
        """Whether a caption has an expected word."""
        return any(self._has_expected(caption) for caption in self.captions)

    def _has_expected(self, caption: str) -> bool:
        named = f" {caption} "
        return any(f" {words} " in named for words in self.expected)


def answers(captions: Path, index: Path, k: int = 5) -> Iterator[Answer]:
    """Asks every query of the table.

    Args:
        captions: CSV of ``uid,caption`` without a header.
        index: Where to write an index of the captions.
        k: How many captions may be found.
    """
    with captions.open(newline="", encoding="utf-8") as file:
        index_captions(index, [Asset(row[0], row[1]) for row in csv.reader(file)])
    retriever = SentenceRetriever(index)
    with QUERIES.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found = retriever.retrieve(row["query"], k)
            expected = tuple(row["expected"].split("|"))
            yield Answer(row["query"], expected, tuple(asset.caption for asset in found))


def main() -> None:
    """Prints the table and the share of queries that found what they expect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captions", type=Path, help="CSV of uid,caption without a header")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asked = list(answers(options.captions, Path(folder) / "index"))
    for answer in asked:
        mark = "yes" if answer.is_found else "NO "
        found = ", ".join(caption.rpartition(": ")[2] for caption in answer.captions)
        print(f"{mark} {answer.query:45s} {'|'.join(answer.expected):30s} {found}")
    share = sum(answer.is_found for answer in asked) / len(asked)
    print(f"recall@5 {share:.3f} of {len(asked)} queries")


if __name__ == "__main__":
    main()
