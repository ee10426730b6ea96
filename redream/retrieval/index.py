"""The index folder: a table of assets and two rows of unit vectors (Sec. 4.5, App. B).

========================  =====================================================================
``assets.parquet``        uid, caption, license, author and source of each row
``text.npy``              ``rows D`` float16, unit vector of each caption
``image.npy``             ``rows D`` float16, pooled unit vector of each asset's pictures
``manifest.json``         encoder, preprocessing, pooling, counts, sha256 of each file, the store
========================  =====================================================================

Nothing in it is a pickle, so an index from a stranger can be opened.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from redream.retrieval.portable import Reference, resolve
from redream.types import Asset

FORMAT_VERSION = 1
TABLE, TEXT, IMAGE, MANIFEST = "assets.parquet", "text.npy", "image.npy", "manifest.json"
COLUMNS = ("uid", "caption", "license", "author", "source")


@dataclass(frozen=True)
class EmbeddingIndex:
    """An opened index folder. Vectors stay on disk until they are read.

    Attributes:
        path: The folder.
        manifest: What ``manifest.json`` says.
        table: The assets, one row each.
        text: Caption vectors, ``rows D`` float16.
        image: Picture vectors, ``rows D`` float16.
    """

    path: Path
    manifest: dict[str, Any]
    table: pa.Table
    text: np.ndarray
    image: np.ndarray

    @classmethod
    def open(cls, path: str | Path) -> "EmbeddingIndex":
        """Opens an index folder, read-only.

        Args:
            path: The folder.

        Returns:
            The index.

        Raises:
            FileNotFoundError: If there is no index at ``path``.
            ValueError: If a file is missing, cut short or does not fit the others.
        """
        path = Path(path).expanduser()
        if not (path / MANIFEST).is_file():
            raise FileNotFoundError(f"there is no index at {path}: build one with `redream index`")
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            version, count = manifest["format_version"], manifest["count"]
            shape, sizes = (count, manifest["dimension"]), manifest["files"]
            sizes = {name: int(sizes[name]["bytes"]) for name in (TABLE, TEXT, IMAGE)}
        except (ValueError, KeyError, TypeError) as error:
            raise _broken(path, f"{MANIFEST} cannot be read ({error!r})") from error
        if version != FORMAT_VERSION:
            raise _broken(path, f"it has format {version}, this version reads {FORMAT_VERSION}")
        for name, expected in sizes.items():
            if not (path / name).is_file():
                raise _broken(path, f"{name} is missing")
            actual = (path / name).stat().st_size
            if actual != expected:
                raise _broken(path, f"{name} has {actual} bytes instead of {expected}")
        try:
            table = pq.read_table(path / TABLE)
            text = np.load(path / TEXT, mmap_mode="r", allow_pickle=False)
            image = np.load(path / IMAGE, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, pa.ArrowException) as error:
            raise _broken(path, str(error).splitlines()[0]) from error
        if table.num_rows != count or text.shape != shape or image.shape != shape:
            raise _broken(path, f"its files do not have the {count} rows of its manifest")
        if not set(COLUMNS) <= set(table.column_names):
            raise _broken(path, f"{TABLE} lacks a column of {', '.join(COLUMNS)}")
        return cls(path, manifest, table, text, image)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def encoder_name(self) -> str:
        """Name of the encoder that made the vectors."""
        return str(self.manifest["encoder"]["name"])

    @cached_property
    def licenses(self) -> np.ndarray:
        """Licence code of each row."""
        return np.asarray(self.table["license"].to_pylist())

    def asset(self, row: int, scores: dict[str, float] | None = None) -> Asset:
        """The asset of a row."""
        record = {name: self.table[name][row].as_py() for name in COLUMNS}
        return Asset(**record, scores=scores or {})

    @property
    def store(self) -> Reference | None:
        """``class_path`` and ``init_args`` of the store the assets are loaded from.

        Paths are absolute, wherever the index was moved together with its store. None where the
        index does not know its store.
        """
        reference = self.manifest.get("store")
        return None if reference is None else resolve(reference, self.path)

    @property
    def encoder(self) -> dict[str, Any]:
        """Constructor arguments of the encoder that made the vectors; paths are absolute."""
        arguments: dict[str, Any] = resolve(self.manifest["encoder"], self.path)["init_args"]
        return arguments

    def verify(self) -> None:
        """Reads every file and compares its hash with the manifest's.

        Raises:
            ValueError: If a file was changed, or a vector is not finite.
        """
        for name, entry in self.manifest["files"].items():
            if file_hash(self.path / name) != entry["sha256"]:
                raise _broken(self.path, f"{name} was changed after it was written")
        for name, vectors in ((TEXT, self.text), (IMAGE, self.image)):
            if not np.isfinite(vectors).all():
                raise _broken(self.path, f"{name} has a vector that is not finite")


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _broken(path: Path, what: str) -> ValueError:
    return ValueError(f"the index at {path} is broken: {what}; build it again")
