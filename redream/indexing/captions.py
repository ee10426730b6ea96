"""A file of captions in Cap3D's form: a CSV without a header, ``uid,caption``."""

import csv
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from redream.assets.captions import name_some
from redream.types import Asset


def read_captions(path: str | Path) -> dict[str, str]:
    """Reads captions by uid. What is wrong with the file is said in one line a kind.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no text, or has no caption at all.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no captions file at {path}")
    captions: dict[str, str] = {}
    empty, doubled = [], []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.reader(file), start=1):
                uid, caption = (row[0].strip(), ",".join(row[1:]).strip()) if row else ("", "")
                if uid in captions:
                    doubled.append(uid)
                elif uid and caption:
                    captions[uid] = caption
                elif row:
                    empty.append(f"line {number}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV of uid,caption ({error})") from error
    if empty:
        warnings.warn(f"{path}: {some(empty)} not uid,caption; left out", stacklevel=2)
    if doubled:
        warnings.warn(f"{path}: {some(doubled)} again; the first counts", stacklevel=2)
    if not captions:
        raise ValueError(f"{path} has no captions: write lines of uid,caption")
    return captions


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
