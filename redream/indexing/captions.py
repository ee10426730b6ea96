"""Gives assets the captions of a file."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

from redream.assets.captions import name_some
from redream.types import Asset


def with_captions(assets: Sequence[Asset], captions: dict[str, str]) -> list[Asset]:
    """Gives assets their captions; who has none keeps what the store calls it, with a warning.

    Raises:
        ValueError: If none of the captions is of one of the assets.
    """
    missing = [asset.uid for asset in assets if asset.uid not in captions]
    if assets and len(missing) == len(assets):
        raise ValueError(
            f"none of the captions is of an asset: they are of {some(list(captions))}, "
            f"and the assets are {some(missing)}"
        )
    if missing:
        warnings.warn(f"no caption for {some(missing)}; the store's is used", stacklevel=2)
    return [replace(asset, caption=captions.get(asset.uid, asset.caption)) for asset in assets]


def some(names: Sequence[str]) -> str:
    """The first three of many names."""
    return name_some(names, 3)
