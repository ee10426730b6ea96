"""The embedded world, ready for use: weights and index from the package, the rest on demand."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from redream.files import cache_folder, whole_file
from redream.locks import alone_in
from redream.mini.world import all_pairs

WEIGHTS = Path(__file__).parent / "weights"
LIBRARY_SEED = 0
PARTS = ("prior", "retrieval_clip", "evaluation_clip", "index", "library", "captions")
"""The names by which a config may ask for a part: ``embedded:NAME``."""

_NAMES = Path(__file__).parents[1] / "retrieval" / "encoder_names.py"  # an index keeps a name
_SOURCES = ("library.py", "parts.py", "scene.py", "captions.py", "categories/*.py")


@dataclass(frozen=True)
class EmbeddedWorld:
    """Where the parts of the embedded world are.

    Attributes:
        prior: A diffusers folder.
        retrieval_clip: An open_clip folder, for retrieval and orientation.
        evaluation_clip: Another, for measuring alone.
        index: The index of the library; :class:`~redream.mini.store.EmbeddedLibrary` loads what it
            names.
    """

    prior: Path = WEIGHTS / "prior"
    retrieval_clip: Path = WEIGHTS / "retrieval_clip"
    evaluation_clip: Path = WEIGHTS / "evaluation_clip"
    index: Path = WEIGHTS / "index"

    @property
    def library(self) -> Path:
        """The library as a folder of 240 GLBs with captions, all made on first use."""
        folder = cache_folder() / f"library-{_digest(_source_files())}"
        _make_once(folder, _write_library)
        return folder

    @property
    def captions(self) -> Path:
        """A text file of every "a MATERIAL CATEGORY", one a line."""
        path = cache_folder() / "captions.txt"
        text = "".join(f"{caption}\n" for caption in pair_captions())
        if not path.is_file() or path.read_text("utf-8") != text:
            with whole_file(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return path


def embedded_world() -> EmbeddedWorld:
    """Finds the embedded world.

    What is not in the package is kept in ``$REDREAM_CACHE`` (``~/.cache/redream`` by default),
    under names that change with the code that it is made from.

    Raises:
        FileNotFoundError: If the installed package lacks its weights.
    """
    if not (WEIGHTS / "prior" / "model_index.json").is_file():
        raise FileNotFoundError(
            f"the embedded prior is missing from {WEIGHTS}: install redream again, or train it "
            "with `python -m redream.mini.train_all`"
        )
    return EmbeddedWorld()


def library_cache() -> Path:
    """The folder of the assets that were made one at a time, ``<uid>.glb``."""
    return cache_folder() / f"assets-{_digest(_source_files())}"


def pair_captions() -> list[str]:
    """Lists "a MATERIAL CATEGORY" for every pair of the world."""
    return [f"a {material} {category}" for material, category in all_pairs()]


def _write_library(folder: Path) -> None:
    from redream.mini.library import write_library

    write_library(folder, LIBRARY_SEED)


def _make_once(folder: Path, make: Callable[[Path], None]) -> None:
    """Makes a folder under a temporary name and renames it, so that it is there whole or not.

    Random numbers of the caller go on as if the folder had been there: the first run of a seed is
    the same as the second.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with alone_in(folder.parent):
        if folder.is_dir():  # another process was faster
            return
        for left in folder.parent.glob(f".{folder.name}-*"):
            shutil.rmtree(left, ignore_errors=True)  # by a process that was killed
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        try:
            with torch.random.fork_rng(devices=[]):
                make(temporary / "made")
            os.rename(temporary / "made", folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _source_files() -> list[Path]:
    return sorted(path for pattern in _SOURCES for path in Path(__file__).parent.glob(pattern))


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
