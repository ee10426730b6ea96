"""The index folder: a table of assets and two rows of unit vectors (Sec. 4.5, App. B).

========================  =====================================================================
``assets.parquet``        what is known of each row's asset: uid, caption, license, ...
``text.npy``              ``rows D`` float16, unit vector of each caption
``image.npy``             ``rows D`` float16, pooled unit vector of each asset's pictures; without
                          it (an index of texts) vectors are made on demand, in ``images/``
``manifest.json``         encoder, preprocessing, pooling, counts, sha256 of each file, the store
========================  =====================================================================

Nothing in it is a pickle, so an index from a stranger can be opened.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from redream.errors import first_line
from redream.plain_data import read_json
from redream.retrieval.arrays import load_array
from redream.retrieval.faults import broken
from redream.retrieval.pictures import PictureVectors
from redream.retrieval.portable import Reference, resolve
from redream.retrieval.table import AssetTable
from redream.types import Asset

FORMAT_VERSION = 2  # 1 had no categories, faces or animations, and always an image.npy
_READABLE = (1, FORMAT_VERSION)
TABLE, TEXT, IMAGE, MANIFEST = "assets.parquet", "text.npy", "image.npy", "manifest.json"


@dataclass(frozen=True)
class EmbeddingIndex:
    """An opened index folder. Vectors stay on disk until they are read.

    Attributes:
        path: The folder.
        manifest: What ``manifest.json`` says.
        table: The assets, one row each; they stay on disk, too.
        text: Caption vectors, ``rows D`` float16.
        image: Picture vectors, ``rows D`` float16; in an index of texts what stands for them.
    """

    path: Path
    manifest: dict[str, Any]
    table: AssetTable
    text: np.ndarray
    image: np.ndarray | PictureVectors

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
            written = (path / MANIFEST).read_bytes()
            manifest = read_json(written)
            version, count = manifest["format_version"], manifest["count"]
            shape, files = (count, manifest["dimension"]), manifest["files"]
            names = (TABLE, TEXT, IMAGE) if IMAGE in files or version == 1 else (TABLE, TEXT)
            sizes = {name: int(files[name]["bytes"]) for name in names}
            if not all(isinstance(files[name]["sha256"], str) for name in names):
                raise ValueError("it has no hashes")
            _check_references(manifest)
        except (
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise broken(path, f"{MANIFEST} cannot be read ({error!r})") from error
        if version not in _READABLE:
            raise broken(path, f"it has format {version}, this version reads {FORMAT_VERSION}")
        for name, expected in sizes.items():
            if not (path / name).is_file():
                raise broken(path, f"{name} is missing")
            actual = (path / name).stat().st_size
            if actual != expected:
                raise broken(path, f"{name} has {actual} bytes instead of {expected}")
        try:
            vectors = [load_array(path / name) for name in names[1:]]
            if any(each.shape != shape for each in vectors):  # on disk, whatever they claim
                raise ValueError(f"its files do not have the {count} rows of its manifest")
            table = AssetTable(path / TABLE, count)
        except Exception as error:  # a stranger's file can fail anywhere inside the readers
            raise broken(path, first_line(error)) from error
        if len(vectors) == 2:
            return cls(path, manifest, table, *vectors)
        digest = hashlib.sha256(written).hexdigest()
        image = PictureVectors(
            path.absolute(), digest, lambda row: str(table.rows([row])[0]["uid"]), shape[1]
        )
        return cls(path, manifest, table, vectors[0], image)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def encoder_name(self) -> str:
        """Name of the encoder that made the vectors."""
        return str(self.manifest["encoder"]["name"])

    def asset(self, row: int, scores: dict[str, float] | None = None) -> Asset:
        """The asset of a row, with what it scored; many rows are faster by :meth:`assets`."""
        return replace(self.assets([row])[0], scores=scores or {})

    def assets(self, rows: Sequence[int]) -> list[Asset]:
        """The assets of some rows, without scores.

        Raises:
            ValueError: If the table is damaged there.
        """
        return [as_asset(record) for record in self.table.rows(rows)]

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
        """Constructor arguments of the encoder that made the vectors; paths are absolute.

        Raises:
            ValueError: If the index was written without them.
        """
        arguments: dict[str, Any] = resolve(self.manifest["encoder"], self.path)["init_args"]
        if "model" not in arguments:
            raise broken(self.path, f"{MANIFEST} does not say how its encoder is made")
        return {name: arguments.get(name) for name in ("model", "pretrained")}


def as_asset(record: Mapping[str, Any]) -> Asset:
    """The asset of a record by the names of a table's columns."""
    return Asset(**{**record, "categories": tuple(record["categories"] or ())})


def _check_references(manifest: dict[str, Any]) -> None:
    """Finds out whether a manifest names an encoder, and a store or none.

    Raises:
        ValueError: If it does not.
    """
    encoder, store = manifest["encoder"], manifest.get("store")
    given = (encoder["init_args"].get(name) for name in ("model", "pretrained"))
    texts = [encoder["name"], *(each for each in given if each is not None)]
    if store is not None:
        texts.append(store["class_path"])
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("it names no encoder or no store")
    for reference in (encoder, store or {}):
        arguments, relative = reference.get("init_args", {}), reference.get("relative", [])
        if not (isinstance(arguments, dict) and set(relative) <= set(arguments)):
            raise ValueError("its references are none")


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
