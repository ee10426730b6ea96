"""A retriever that brings the store of what it finds, so that nobody has to name one."""

from redream.assets import Store
from redream.priors import Prior
from redream.retrieval import Retriever


class AssetSource(Retriever):
    """A retriever with a store of its own.

    Attributes:
        store: Loads what :meth:`retrieve` finds.
        is_made: Whether its assets are made when they are asked for, which costs time.
    """

    store: Store
    is_made = False

    def paint_with(self, prior: Prior) -> None:  # noqa: B027  (most sources paint nothing)
        """Gives it the run's prior, for generators that are shown a picture."""

    def show(self, picture: bytes) -> None:  # noqa: B027  (most sources look at nothing)
        """Gives it the user's own picture of the object, for generators that are shown one.

        Args:
            picture: A PNG, transparent where the object is not.
        """


def store_of(retriever: Retriever, store: Store | None) -> Store | None:
    """The store of what a retriever finds: its own, or else the one that is named beside it.

    Raises:
        ValueError: If there are both.
    """
    own = retriever.store if isinstance(retriever, AssetSource) else None
    if own is not None and store is not None:
        raise ValueError(
            f"{type(retriever).__name__} brings the store of its assets: leave out the store"
        )
    return own or store
