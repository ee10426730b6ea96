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
            ``k`` different assets, best first, with named similarities in ``scores``.

        Raises:
            ValueError: If the prompt is empty or ``k`` assets do not exist.
        """
