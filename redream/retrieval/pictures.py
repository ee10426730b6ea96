"""Picture vectors of an index that has none: made for the assets that a search asks about."""

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from redream.files import cache_folder, whole_file
from redream.retrieval.arrays import load_array


class PictureVectors:
    """Stands in the place of ``image.npy``: rows are embedded when first asked for, and kept.

    The second stage of a search needs the pictures of its N' candidates alone, so an index of
    texts can be searched as the paper does, at the price of loading those assets once. Vectors are
    kept in the index's ``images`` folder, or in the user's cache where that cannot be written; one
    file for each asset, whole or absent, so that processes may share them.

    Args:
        index: The index folder.
        manifest_hash: SHA-256 of its manifest, by which the user's cache tells indices apart.
        uids: From a row to its uid.
        dimension: Length D of the vectors.
    """

    def __init__(
        self, index: Path, manifest_hash: str, uids: Callable[[int], str], dimension: int
    ) -> None:
        self.index, self.uids, self.dimension = index, uids, dimension
        cache = cache_folder()
        self.folders = (index / "images", cache / f"images-{manifest_hash[:12]}")
        self.embed: Callable[[str], np.ndarray] | None = None
        """From a uid to its unit vector, ``D``; set by whoever knows the store."""

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """The vectors of some rows.

        An asset that cannot be shown is named in a warning and has a vector of zeros, that is, it
        resembles no prompt; the next search tries it again.

        Args:
            rows: Row numbers; few, since each may have to be loaded.

        Returns:
            ``len(rows) D`` float16.

        Raises:
            ValueError: If all rows are wanted at once, or nobody can embed a missing one.
        """
        if isinstance(rows, slice):
            raise ValueError(
                f"the index at {self.index} has no picture vectors, so it cannot be searched by "
                "image alone: search by text first, or build it with pictures"
            )
        return np.stack([self._vector(self.uids(int(row))) for row in rows])

    def _vector(self, uid: str) -> np.ndarray:
        name = f"{hashlib.sha256(uid.encode()).hexdigest()[:32]}.npy"
        for folder in self.folders:
            try:
                kept = load_array(folder / name, mode=None)
            except (OSError, ValueError, EOFError):
                continue  # none yet, or a broken one: made below
            if kept.shape == (self.dimension,) and kept.dtype == np.float16:
                return kept
        if self.embed is None:
            raise ValueError(
                f"the index at {self.index} has no picture vectors, and no store to make them "
                f"from: name the store that has {uid}, or build the index with pictures"
            )
        try:
            vector = self.embed(uid).astype(np.float16)
        except (ValueError, OSError) as error:
            warnings.warn(f"cannot compare the pictures of {uid}: {error}", stacklevel=4)
            return np.zeros(self.dimension, dtype=np.float16)
        self._keep(vector, name)
        return vector

    def _keep(self, vector: np.ndarray, name: str) -> None:
        """Writes a vector where that is possible; without room it is made again next time."""
        for folder in self.folders:
            try:
                with whole_file(folder / name) as temporary:
                    np.save(temporary, vector, allow_pickle=False)
                return
            except OSError:
                continue
