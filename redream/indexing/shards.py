"""Shards: the finished parts of an unfinished index, each a file that is there whole or not."""

import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float16
from safetensors import SafetensorError, safe_open
from torch import Tensor

from redream.plain_data import read_json
from redream.tensor_files import write_tensors

_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Shard:
    """Vectors of some assets.

    Attributes:
        uids: The assets, one a row.
        captions: What was embedded of each.
        num_views: Pictures of each.
        left_out: Assets that could not be shown, with the reason.
        text: Caption vectors.
        image: Picture vectors; None in an index of texts.
    """

    uids: tuple[str, ...]
    captions: tuple[str, ...]
    num_views: tuple[int, ...]
    left_out: dict[str, str]
    text: Float16[Tensor, "rows D"]
    image: Float16[Tensor, "rows D"] | None

    def save(self, folder: Path) -> None:
        """Writes the shard; its name follows from its assets, so that processes do not meet."""
        tensors = {"text": self.text} | ({} if self.image is None else {"image": self.image})
        header = {
            "uids": self.uids,
            "captions": self.captions,
            "num_views": self.num_views,
            "left_out": self.left_out,
        }
        key = hashlib.sha256(json.dumps([self.uids, self.captions, [*self.left_out]]).encode())
        metadata = {name: json.dumps(value) for name, value in header.items()}
        write_tensors(folder / f"{key.hexdigest()[:24]}{_SUFFIX}", tensors, metadata)


def read_shards(
    folder: Path, vectors: bool = True, broken: list[Path] | None = None
) -> Iterator[Shard]:
    """Reads the finished shards of a folder, one at a time; a broken one counts as not made.

    Args:
        folder: Where they are.
        vectors: Whether to read the vectors; without them they are empty.
        broken: Is told the broken ones, which are removed.
    """
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        if path.name.startswith("."):
            continue  # being written, or left by a process that died
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata()
                header = {name: read_json(metadata[name]) for name in metadata}
                tensors = {
                    name: file.get_tensor(name) if vectors else torch.empty(0, 0).half()
                    for name in file.keys()  # noqa: SIM118  (it is no dictionary)
                }
            yield Shard(
                tuple(header["uids"]),
                tuple(header["captions"]),
                tuple(header["num_views"]),
                header["left_out"],
                tensors["text"],
                tensors.get("image"),
            )
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            what = f"{path} is broken ({error}): its assets are embedded again"
            warnings.warn(what, stacklevel=2)
            path.unlink(missing_ok=True)
            if broken is not None:
                broken.append(path)
