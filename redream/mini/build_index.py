"""Makes the index of the embedded library, which the package ships.

``python -m redream.mini.build_index`` renders and embeds all 240 assets and writes
``weights/index``: a table and two rows of float16 vectors, 80 kB. It is due when the retrieval CLIP
or the library has changed; ``tests/mini/test_library.py`` says when.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from redream.assets import FolderStore
from redream.indexing import index_store
from redream.mini.library import write_library
from redream.mini.prepare import LIBRARY_SEED, WEIGHTS
from redream.retrieval import EmbeddingIndex, Encoder
from redream.retrieval.writing import write_index

STORE = {"class_path": "redream.mini.store.EmbeddedLibrary", "init_args": {}}


def build_index(out: Path, clip: Path = WEIGHTS / "retrieval_clip") -> EmbeddingIndex:
    """Renders and embeds the library.

    Args:
        out: The index folder, replaced where it is there. Beside ``clip``, it finds that wherever
            both are moved.
        clip: The encoder.

    Returns:
        The index, which names :class:`~redream.mini.store.EmbeddedLibrary` as its store.
    """
    encoder = Encoder(str(clip))
    with tempfile.TemporaryDirectory() as folder:
        library, made = Path(folder, "library"), Path(folder, "index")
        write_library(library, LIBRARY_SEED)
        index = index_store(FolderStore(library), encoder, made)
        assets = index.assets(range(len(index)))
        reference = {"name": encoder.name, "init_args": encoder.init_args}
        known = {key: index.manifest[key] for key in _KEPT}
        return write_index(
            out, assets, index.text, np.asarray(index.image), reference, STORE, known
        )


_KEPT = ("preprocessing", "pooling", "pictures", "num_views", "num_left_out", "left_out")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS / "index", help="default: the package")
    build_index(parser.parse_args().out)


if __name__ == "__main__":
    main()
