"""The embedded world, ready for use: weights from the package, the library made on first use."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from redream.files import cache_folder
from redream.mini.world import all_pairs

WEIGHTS = Path(__file__).parent / "weights"
LIBRARY_SEED = 0
_SOURCES = ("library.py", "parts.py", "scene.py", "captions.py", "categories/*.py")


@dataclass(frozen=True)
class EmbeddedWorld:
    """Where the parts of the embedded world are.

    Attributes:
        prior: A diffusers folder.
        retrieval_clip: An open_clip folder, for retrieval and orientation.
        evaluation_clip: Another, for measuring alone.
        library: The folder of GLBs.
        index: The index of the library.
        captions: A text file of every "a MATERIAL CATEGORY", one a line.
    """

    prior: Path
    retrieval_clip: Path
    evaluation_clip: Path
    library: Path
    index: Path
    captions: Path


def embedded_world() -> EmbeddedWorld:
    """Finds the embedded world, making its library and index where they are missing.

    They are kept in ``$REDREAM_CACHE`` (``~/.cache/redream`` by default), under names that change
    with the code and weights that they are made from.

    Raises:
        FileNotFoundError: If the installed package lacks its weights.
    """
    if not (WEIGHTS / "prior" / "model_index.json").is_file():
        raise FileNotFoundError(
            f"the embedded prior is missing from {WEIGHTS}: install redream again, or train it "
            "with `python -m redream.mini.train_all`"
        )
    cache = cache_folder()
    library = cache / f"library-{_digest(_source_files())}"
    _make_once(library, _write_library)
    clip = WEIGHTS / "retrieval_clip"
    index = cache / f"index-{_digest([*_source_files(), *sorted(clip.iterdir())])}"
    _make_once(index, lambda folder: _write_index(library, clip, folder))
    captions = cache / "captions.txt"
    text = "".join(f"{caption}\n" for caption in pair_captions())
    if not captions.is_file() or captions.read_text("utf-8") != text:
        _replace_text(captions, text)
    return EmbeddedWorld(
        WEIGHTS / "prior",
        clip,
        WEIGHTS / "evaluation_clip",
        library,
        index,
        captions,
    )


def pair_captions() -> list[str]:
    """Lists "a MATERIAL CATEGORY" for every pair of the world."""
    return [f"a {material} {category}" for material, category in all_pairs()]


def _write_library(folder: Path) -> None:
    from redream.mini.library import write_library

    write_library(folder, LIBRARY_SEED)


def _write_index(library: Path, clip: Path, folder: Path) -> None:
    from redream.assets import FolderStore
    from redream.indexing import index_store
    from redream.retrieval import Encoder

    index_store(FolderStore(library), Encoder(str(clip)), folder)


def _make_once(folder: Path, make: Callable[[Path], None]) -> None:
    """Makes a folder under a temporary name and renames it, so that it is there whole or not.

    Random numbers of the caller go on as if the folder had been there: the first run of a seed is
    the same as the second.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        with torch.random.fork_rng(devices=[]):
            make(temporary / "made")
        if not folder.is_dir():  # another process may have been faster
            os.rename(temporary / "made", folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _source_files() -> list[Path]:
    return sorted(path for pattern in _SOURCES for path in Path(__file__).parent.glob(pattern))


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
