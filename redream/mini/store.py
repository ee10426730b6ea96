"""The embedded library as a store: every asset is known, and made when it is loaded."""

from functools import cached_property
from pathlib import Path

from redream.assets import Store, load_mesh
from redream.files import whole_file
from redream.mini.library import Individual, individuals, make_asset
from redream.mini.prepare import LIBRARY_SEED, embedded_world, library_cache
from redream.retrieval import EmbeddingIndex
from redream.types import Asset, TriangleMesh


class EmbeddedLibrary(Store):
    """The 240 assets of the embedded world.

    What is known of them lies in the package, with their vectors; the GLB of an asset is made when
    it is first loaded, in a moment, and kept in ``$REDREAM_CACHE`` (``~/.cache/redream`` by
    default).
    """

    def assets(self) -> list[Asset]:
        """Lists the library in the order of its index."""
        index = EmbeddingIndex.open(embedded_world().index)
        return index.assets(range(len(index)))

    def load(self, uid: str) -> TriangleMesh:
        """Loads an asset, normalised to radius 0.9."""
        return load_mesh(self.file(uid))

    def file(self, uid: str) -> Path:
        """The GLB of an asset, made where it is missing.

        Raises:
            ValueError: If the uid is unknown.
        """
        if uid not in self._individuals:
            raise ValueError(f"the embedded library has no asset {uid!r}")
        path = library_cache() / f"{uid}.glb"
        if not path.is_file():
            glb, _ = make_asset(self._individuals[uid])
            with whole_file(path) as temporary:
                temporary.write_bytes(glb)
        return path

    @cached_property
    def _individuals(self) -> dict[str, Individual]:
        return {each.uid: each for each in individuals(LIBRARY_SEED)}
