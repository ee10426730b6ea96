"""Writes an index folder, whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from redream.files import exchange_folders, why_not_written
from redream.locks import alone_in
from redream.retrieval.index import (
    FORMAT_VERSION,
    IMAGE,
    MANIFEST,
    TABLE,
    TEXT,
    EmbeddingIndex,
    file_hash,
)
from redream.retrieval.portable import Reference, make_portable
from redream.retrieval.table import REPEATED, ROW_GROUP, SCHEMA
from redream.types import Asset


def write_index(
    path: str | Path,
    assets: Sequence[Asset],
    text: np.ndarray,
    image: np.ndarray | None,
    encoder: Reference,
    store: Reference | None = None,
    manifest: dict[str, Any] | None = None,
) -> EmbeddingIndex:
    """Writes an index folder; it appears whole or not at all, and replaces an older index.

    Args:
        path: The folder.
        assets: One record per row.
        text: Caption vectors, ``rows D``, unit length; float16 may lie on disk.
        image: Picture vectors likewise; None makes an index of texts.
        encoder: ``name`` and ``init_args`` of the encoder; paths are absolute.
        store: ``class_path`` and ``init_args`` of the assets' store; paths are absolute.
        manifest: What else should be remembered, such as the pooling.

    Returns:
        The index, opened.

    Raises:
        ValueError: If ``path`` is a folder of something else.
        OSError: If it cannot be written; what stood at ``path`` is intact.
    """
    path = Path(path).expanduser()
    check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone_in(path.parent):
        writing = path.with_name(f".{path.name}.writing")  # no pattern: no other index's is found
        if writing.is_dir():
            shutil.rmtree(writing, ignore_errors=True)  # by a process that was killed
        try:
            writing.mkdir(exist_ok=True)
            building = Path(tempfile.mkdtemp(dir=writing))
            columns = {name: [getattr(asset, name) for asset in assets] for name in SCHEMA.names}
            table = pa.table(columns, schema=SCHEMA)
            pq.write_table(
                table, building / TABLE, row_group_size=ROW_GROUP, use_dictionary=list(REPEATED)
            )
            for name, vectors in ((TEXT, text), (IMAGE, image)):
                if vectors is not None:
                    half = vectors.astype(np.float16, copy=False)
                    np.save(building / name, half, allow_pickle=False)
            files = {
                file.name: {"bytes": file.stat().st_size, "sha256": file_hash(file)}
                for file in sorted(building.iterdir())
            }
            references = {
                name: make_portable(reference, path)
                for name, reference in (("encoder", encoder), ("store", store))
                if reference is not None
            }
            written = {
                "format_version": FORMAT_VERSION,
                "count": len(assets),
                "dimension": int(text.shape[1]),
                "normalisation": "unit vectors",
                **(manifest or {}),
                **references,
                "files": files,
            }
            (building / MANIFEST).write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
            building.chmod(0o755)
            if path.exists():
                exchange_folders(path, building)
            else:
                os.replace(building, path)
        except OSError as error:
            why = why_not_written(path.parent, error)  # asked while what was written takes room
            raise OSError(f"cannot write the index {path}: {why}") from error
        finally:
            shutil.rmtree(writing, ignore_errors=True)
    return EmbeddingIndex.open(path)


def check_replaceable(path: Path) -> None:
    """Refuses to write an index over a folder that is none.

    Raises:
        ValueError: If ``path`` exists and is neither empty nor an index.
    """
    if path.exists() and not (path / MANIFEST).is_file():
        if not path.is_dir() or any(path.iterdir()):
            raise ValueError(f"{path} exists and is no index: name another folder")
