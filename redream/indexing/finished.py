"""What the finished shards of a build hold of its assets, and their vectors in one array."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from redream.files import why_not_written
from redream.indexing.captions import some
from redream.indexing.shards import read_shards
from redream.types import Asset


class Finished(NamedTuple):
    """What the finished shards have of the assets: each is kept, left out or missing.

    Attributes:
        kept: The uids of those that have vectors.
        left_out: Those that could not be shown, with the reason.
        missing: Those that no shard names with the caption they have.
        num_views: The most pictures that one of them has.
        dimension: Numbers of a vector.
        num_broken: Shards that could not be read; they are gone.
    """

    kept: set[str]
    left_out: dict[str, str]
    missing: list[Asset]
    num_views: int
    dimension: int
    num_broken: int


def find_finished(folder: Path, assets: Sequence[Asset]) -> Finished:
    """Reads through the finished shards, the vectors included.

    Args:
        folder: Where they are.
        assets: What is built.
    """
    captions = {asset.uid: asset.caption for asset in assets}
    kept, reasons, num_views, dimension = set[str](), dict[str, str](), 0, 0
    broken: list[Path] = []
    for shard in read_shards(folder, broken=broken):
        reasons |= shard.left_out
        pairs = zip(shard.uids, shard.captions, strict=True)
        kept |= {uid for uid, caption in pairs if captions.get(uid) == caption}
        num_views = max(num_views, *shard.num_views, 0)
        dimension = max(dimension, shard.text.shape[1])
    left_out = {u: why for u, why in reasons.items() if u in captions and u not in kept}
    missing = [each for each in assets if each.uid not in kept and each.uid not in left_out]
    return Finished(kept, left_out, missing, num_views, dimension, len(broken))


def require_none_missing(missing: Sequence[Asset], assets: Sequence[Asset]) -> None:
    """Refuses to go on without vectors of some assets.

    Raises:
        ValueError: If some are missing.
    """
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(assets)} assets are in no finished shard "
            f"({some([each.uid for each in missing])}), so no index is written: give the same "
            "command again, which embeds them"
        )


def gather(
    folder: Path, assets: Sequence[Asset], kinds: Sequence[str], dimension: int
) -> Mapping[str, np.ndarray]:
    """The vectors of the finished shards in the order of the assets, on the disk.

    Args:
        folder: Where the shards are, and the arrays shall be.
        assets: Those that have vectors.
        kinds: ``text``, or ``text`` and ``image``.
        dimension: Numbers of a vector, D.

    Returns:
        An array of float16 for each kind, ``rows D``.

    Raises:
        ValueError: If the vectors of some are there no more.
        OSError: If there is no room for them.
    """
    rows = {(asset.uid, asset.caption): row for row, asset in enumerate(assets)}
    arrays = {kind: _on_disk(folder / f"{kind}.npy", len(assets), dimension) for kind in kinds}
    filled = np.zeros(len(assets), dtype=bool)
    for shard in read_shards(folder):
        for source, pair in enumerate(zip(shard.uids, shard.captions, strict=True)):
            row = rows.get(pair)
            if row is not None:
                filled[row] = True
                for kind, array in arrays.items():
                    array[row] = getattr(shard, kind)[source].numpy()
    gone = [asset for asset, has in zip(assets, filled, strict=True) if not has]
    require_none_missing(gone, assets)
    return arrays


def _on_disk(path: Path, rows: int, dimension: int) -> np.ndarray:
    """An array of float16 in a file, for which there is room on the disk."""
    path.unlink(missing_ok=True)
    try:
        array = np.lib.format.open_memmap(path, "w+", np.float16, (rows, dimension))
        if hasattr(os, "posix_fallocate"):  # a full disk is an error here, not a signal later
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        raise OSError(f"cannot write {path}: {why_not_written(path.parent, error)}") from error
    return array
