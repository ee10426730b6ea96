"""Assets that somebody has chosen of those that a retriever finds, with their scores."""

from collections.abc import Sequence

from redream.retrieval.base import Retriever
from redream.types import Asset

MOST = 1024
"""How far down the ranking a chosen asset is looked for."""


def retrieve_chosen(
    retriever: Retriever, prompt: str, uids: Sequence[str], first: int = 3
) -> list[Asset]:
    """Finds chosen assets in a retriever's ranking for a prompt.

    Args:
        retriever: Finds assets.
        prompt: What the user wants.
        uids: The assets' names.
        first: How many to look at first: no more are asked for than are needed, since a source may
            make what it is asked for.

    Returns:
        The chosen assets, best first.

    Raises:
        ValueError: If one of them is not among the nearest; one line that names it.
    """
    wanted = dict.fromkeys(uids)
    most = min(MOST, retriever.most() or MOST)
    num = min(max(first, len(wanted)), most)
    while True:
        found = [asset for asset in retriever.retrieve(prompt, num) if asset.uid in wanted]
        if len(found) == len(wanted):
            return found
        if num == most:
            missing = [uid for uid in wanted if uid not in {asset.uid for asset in found}]
            raise ValueError(
                f"data.chosen: {missing[0]!r} is not among the {num} assets nearest to {prompt!r}: "
                "take a uid that `redream retrieve` prints"
            )
        num = min(4 * num, most)
