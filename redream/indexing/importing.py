"""An index of vectors that exist already."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from redream.errors import first_line
from redream.indexing.captions import some
from redream.plain_data import read_json
from redream.retrieval import EmbeddingIndex, Encoder
from redream.retrieval.portable import Reference
from redream.retrieval.writing import check_replaceable, write_index
from redream.types import Asset

_CHUNK = 16384  # rows read at once


class Vectors(NamedTuple):
    """Vectors of a library, not necessarily of unit length.

    Attributes:
        uids: The assets, one a row.
        text: Caption vectors, ``rows D``, or None.
        image: Picture vectors, ``rows D`` or ``rows views D``, or None.
        captions: Captions by uid that came with the vectors.
    """

    uids: Sequence[str]
    text: np.ndarray | None
    image: np.ndarray | None
    captions: Mapping[str, str] = {}


def read_npy(path: str | Path) -> np.ndarray:
    """Opens an array of numbers on the disk.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is none.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there are no vectors at {path}")
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no .npy file of numbers ({error})") from error
    return array


def read_uids(path: str | Path) -> list[str]:
    """Reads uids: a JSON list, or a text file with one a line."""
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of uids at {path}")
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        uids = read_json(text)
        if not isinstance(uids, list) or not all(isinstance(uid, str) for uid in uids):
            raise ValueError(f"{path} must be a list of texts")
        return uids
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_parquet(path: str | Path) -> Vectors:
    """Reads a table with columns ``uid`` and ``text``, ``image`` or both, maybe ``caption``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such table.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no table of vectors at {path}")
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise ValueError(f"{path} is no parquet file ({first_line(error)})") from error
    if "uid" not in table.column_names:
        raise ValueError(f"{path} has no column uid; it has {', '.join(table.column_names)}")
    uids = [str(uid) for uid in table["uid"].to_pylist()]
    columns = [_matrix(table, name, path) for name in ("text", "image")]
    captions = {}
    if "caption" in table.column_names:
        pairs = zip(uids, table["caption"].to_pylist(), strict=True)
        captions = {uid: caption for uid, caption in pairs if caption}
    return Vectors(uids, columns[0], columns[1], captions)


def import_vectors(
    vectors: Vectors,
    encoder: Encoder,
    out: str | Path,
    captions: Mapping[str, str] | None = None,
    known: Sequence[Asset] = (),
    store: Reference | None = None,
) -> EmbeddingIndex:
    """Makes an index of vectors that exist.

    Vectors are made unit, several views of an asset pooled as the index does it. Rows whose vector
    is zero or not finite are left out, with a warning. Without text vectors the captions are
    embedded here; without picture vectors the index is one of texts.

    Args:
        vectors: The vectors.
        encoder: What made them; loaded only if captions must be embedded.
        out: The index folder.
        captions: Captions by uid; before those of ``vectors`` and of ``known``.
        known: Records of a store, from which licences and the like are taken.
        store: How to make that store again.

    Returns:
        The index, opened.

    Raises:
        ValueError: If rows and uids do not fit, a uid comes twice, or nothing is left.
    """
    check_replaceable(Path(out).expanduser())
    _check(vectors)
    records = {asset.uid: asset for asset in known}
    named = {**vectors.captions, **(captions or {})}
    assets = [_record(uid, records, named) for uid in vectors.uids]
    text = None if vectors.text is None else _unit(vectors.text)
    image = None if vectors.image is None else _unit(vectors.image)
    finite = np.ones(len(assets), dtype=bool)
    for array in (text, image):
        if array is not None:
            finite &= np.isfinite(array).all(1)
    if not finite.any():
        raise ValueError("none of the vectors is finite and other than zero: nothing to import")
    bad = [asset.uid for asset, kept in zip(assets, finite, strict=True) if not kept]
    if bad:
        warnings.warn(f"left {some(bad)} out of the index: no direction", stacklevel=2)
        assets = [asset for asset, kept in zip(assets, finite, strict=True) if kept]
        text, image = (None if array is None else array[finite] for array in (text, image))
    if text is None:
        text = _embed_captions(assets, named, records, encoder)
    manifest = {
        "pooling": "mean of unit vectors, made unit again",
        "pictures": None if image is None else {"made": "imported vectors"},
        "num_left_out": len(bad),
        "left_out": dict.fromkeys(bad, "its vector has no direction"),
    }
    reference = {"name": encoder.name, "init_args": encoder.init_args}
    return write_index(out, assets, text, image, reference, store, manifest)


def _check(vectors: Vectors) -> None:
    num = len(vectors.uids)
    if num == 0:
        raise ValueError("there are no uids, so there is nothing to import")
    unique, counts = np.unique(np.asarray(vectors.uids), return_counts=True)
    if len(unique) < num:
        raise ValueError(f"uid {unique[counts > 1][0]} comes twice: each may come once")
    lengths = set()
    for name, array, shapes in (("text", vectors.text, (2,)), ("image", vectors.image, (2, 3))):
        if array is None:
            continue
        if array.ndim not in shapes or not np.issubdtype(array.dtype, np.floating):
            raise ValueError(
                f"{name} vectors must be numbers of rows and columns, not {array.shape}"
            )
        if len(array) != num:
            raise ValueError(f"there are {num} uids, but {len(array)} {name} vectors")
        lengths.add(array.shape[-1])
    if len(lengths) != 1:
        what = "text and image vectors of one length" if lengths else "text or image vectors"
        raise ValueError(f"an index needs {what}, not {sorted(lengths) or 'none'}")


def _record(uid: str, records: Mapping[str, Asset], captions: Mapping[str, str]) -> Asset:
    asset = records.get(uid, Asset(uid, uid))
    return replace(asset, caption=captions.get(uid, asset.caption))


def _unit(array: np.ndarray) -> np.ndarray:
    """Unit vectors in float16; views pooled; NaN where there is no direction."""
    made = np.empty((len(array), array.shape[-1]), dtype=np.float16)
    with np.errstate(divide="ignore", invalid="ignore"):
        for start in range(0, len(array), _CHUNK):
            rows = array[start : start + _CHUNK].astype(np.float32)
            rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
            if rows.ndim == 3:
                rows = rows.mean(1)
                rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
            made[start : start + len(rows)] = rows
    return made


def _embed_captions(
    assets: Sequence[Asset],
    captions: Mapping[str, str],
    records: Mapping[str, Asset],
    encoder: Encoder,
) -> np.ndarray:
    missing = [asset.uid for asset in assets if asset.uid not in {**records, **captions}]
    if missing:
        raise ValueError(
            f"there are no text vectors, and no caption to embed for {some(missing)}: give text "
            "vectors, captions or a store"
        )
    parts = [
        encoder.encode_texts([asset.caption for asset in assets[start : start + _CHUNK]]).half()
        for start in range(0, len(assets), _CHUNK)
    ]
    array: np.ndarray = torch.cat(parts).numpy()
    return array


def _matrix(table: pa.Table, name: str, path: Path) -> np.ndarray | None:
    """A column of lists of one length as a matrix."""
    if name not in table.column_names:
        return None
    column = table[name].combine_chunks()
    if not pa.types.is_list(column.type) and not pa.types.is_fixed_size_list(column.type):
        raise ValueError(f"{path}: column {name} must have a list of numbers in each row")
    flat = column.flatten()
    rows = len(column)
    lengths = column.value_lengths() if hasattr(column, "value_lengths") else None
    ragged = column.null_count > 0 or rows == 0 or len(flat) % rows != 0
    if lengths is not None and not ragged:
        ragged = len(lengths.unique()) != 1
    if ragged:
        raise ValueError(f"{path}: the lists of column {name} must all have one length")
    values: np.ndarray = flat.to_numpy(zero_copy_only=False)
    return values.reshape(rows, -1)
