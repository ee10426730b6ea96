"""The interface of a retriever: a prompt in, a few assets out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from redream.types import Asset

if TYPE_CHECKING:
    from redream.retrieval.encoder import Encoder
    from redream.retrieval.index import EmbeddingIndex


class Retriever(ABC):
    """Finds the assets nearest to a prompt. Constructor arguments are the configuration.

    Attributes:
        index: The index that it searches; None where it searches anything else.
        encoder: What embeds prompts for it; None where nothing does.
    """

    index: "EmbeddingIndex | None" = None
    encoder: "Encoder | None" = None

    @abstractmethod
    def retrieve(self, prompt: str, k: int) -> list[Asset]:
        """Finds ``k`` assets.

        Args:
            prompt: What the user wants (c in the paper).
            k: How many assets (N in the paper).

        Returns:
            ``k`` different assets, best first, with named similarities in ``scores``, the last of
            which is the one that ranks. The same prompt has the same answer, and a smaller ``k``
            the beginning of it.

        Raises:
            ValueError: If the prompt is empty, ``k`` is below 1 or ``k`` assets do not exist.
        """

    def restrict(self, licenses: Sequence[str]) -> None:
        """From now on finds only assets of some licences; retrievers that know them override it.

        Args:
            licenses: Licence codes, such as ``cc0`` and ``by``. What nobody stated does not match.

        Raises:
            ValueError: If this retriever does not know licences; so it is unless overridden.
        """
        raise ValueError(
            f"{type(self).__name__} cannot choose by licence: leave out the licences, or take a "
            "retriever that knows them"
        )

    def likeness(self, asset: Asset) -> float | None:
        """How like the prompt an asset is that was found for it.

        Args:
            asset: As :meth:`retrieve` gave it.

        Returns:
            1 where it is as like it as assets are like their own captions, 0 where no more than
            any two are; None, as here, where nobody knows.
        """
        return None

    def most(self) -> int | None:
        """How many assets there are to find at most; None, as here, where nobody has counted."""
        return None
