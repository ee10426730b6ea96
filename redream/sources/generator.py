"""The interface of a generator: a prompt and a seed in, a mesh out."""

from abc import ABC, abstractmethod
from pathlib import Path


class Generator(ABC):
    """Makes meshes of prompts. Constructor arguments are the configuration.

    Attributes:
        license: Under which licence its meshes are; a short code where there is one.
        author: Who or what makes them, with its version: it is said beside every result.
        needs_picture: Whether it is shown a picture of the prompt: the user's own (``data.image``),
            or one that the run's prior paints.
    """

    license: str = "unknown"
    author: str = "unknown"
    needs_picture: bool = False

    @abstractmethod
    def generate(self, prompt: str, seed: int, path: Path, picture: Path | None = None) -> None:
        """Makes one mesh.

        Args:
            prompt: What to make.
            seed: Another seed, another mesh; the same one, the same mesh where that is possible.
            path: The ``.glb`` file to write, +Y up.
            picture: A PNG of the prompt; given where it is needed.

        Raises:
            ValueError: If it cannot be made; one line.
            OSError: If it cannot be written.
        """

    @abstractmethod
    def key(self) -> dict[str, object]:
        """What its meshes follow from beside prompt, seed and picture, as JSON.

        Meshes are kept by it: whatever changes them has to be in it.
        """

    def lacks(self) -> list[str]:
        """What it needs and this computer does not have, each in words; empty where it can run."""
        return []

    def rest(self) -> None:  # noqa: B027  (most generators hold nothing)
        """Lets go of what it holds in memory until it is asked again."""
