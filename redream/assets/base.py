"""The interface of a store: where 3D assets come from."""

from abc import ABC, abstractmethod

from redream.types import Asset, TriangleMesh


class Store(ABC):
    """A collection of 3D assets, listed cheaply and loaded one at a time."""

    @abstractmethod
    def assets(self) -> list[Asset]:
        """Lists what the store has, without opening a mesh.

        Returns:
            One record per asset, in a stable order, each uid once.
        """

    @abstractmethod
    def load(self, uid: str) -> TriangleMesh:
        """Loads an asset, normalised as :func:`redream.assets.load_mesh` does.

        Args:
            uid: Identifier of one of :meth:`assets`.

        Returns:
            The mesh.

        Raises:
            ValueError: If the uid is unknown or its file cannot be read.
        """

    def complete(self, asset: Asset) -> Asset:
        """Fills in what an index did not know of an asset that is now used: whose it is.

        Stores that look up licences, authors and sources one at a time override it.

        Args:
            asset: A record of one of this store's assets.

        Returns:
            The record with its scores kept.
        """
        return asset

    def reference(self) -> dict[str, object]:
        """How to make this store again: ``{"class_path": ..., "init_args": {...}}``.

        An index remembers it, so that what was retrieved can be loaded. Stores with constructor
        arguments override it; file paths in ``init_args`` are absolute.
        """
        return {"class_path": f"{type(self).__module__}.{type(self).__qualname__}", "init_args": {}}
