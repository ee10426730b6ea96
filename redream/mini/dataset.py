"""Datasets of the embedded world on disk: written once, then memory-mapped."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redream.mini.world import Pair, Recipe, make_dataset
from redream.plain_data import read_json


@dataclass(frozen=True)
class Dataset:
    """Pictures with their captions and truths.

    Attributes:
        pictures: ``P 64 64 3`` uint8, memory-mapped.
        records: Per picture the fields of :class:`redream.mini.world.Sample` but the picture.
    """

    pictures: NDArray[np.uint8]
    records: list[dict[str, Any]]

    @property
    def captions(self) -> list[str]:
        """The caption of each picture."""
        return [record["caption"] for record in self.records]


def load_dataset(
    folder: Path,
    recipe: Recipe | str,
    num: int,
    seed: int,
    pairs: Sequence[Pair] | None = None,
    clay_share: float | None = None,
) -> Dataset:
    """Opens a dataset, rendering it first where it is missing.

    Args:
        folder: Where it lives.
        recipe: A recipe or the name of one.
        num: Pictures.
        seed: Decides everything.
        pairs: As for :func:`redream.mini.world.make_dataset`.
        clay_share: As for :func:`redream.mini.world.make_dataset`.

    Returns:
        The dataset.
    """
    if not folder.exists():
        temporary = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        make_dataset(temporary, num, seed, recipe, pairs=pairs, clay_share=clay_share)
        os.replace(temporary, folder)
    pictures = np.load(folder / "pictures.npy", mmap_mode="r")
    lines = (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return Dataset(pictures, [read_json(line) for line in lines])
