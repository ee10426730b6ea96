"""The interface of a retriever: a prompt in, a few assets out."""

from abc import ABC, abstractmethod

from redream.types import Asset


class Retriever(ABC):
    """Finds the assets nearest to a prompt. Constructor arguments are the configuration."""

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
