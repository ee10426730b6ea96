"""How many faces a file says that it has, before any of them is read."""

import re
from pathlib import Path

from redream.assets.annotations import file_facts

_HEADER_BYTES = 2**16
_CHUNK_BYTES = 2**24


def stated_faces(path: Path) -> int:
    """The faces that a 3D file states: a lower bound of its triangles where faces have more sides.

    A glTF file's JSON is read, a PLY file's header, and an OBJ file's lines are counted. A broken
    file states 0, and reports itself when it is loaded.

    Args:
        path: A ``.glb``, ``.gltf``, ``.obj`` or ``.ply`` file.

    Returns:
        Their number.

    Raises:
        OSError: If an OBJ or PLY file cannot be opened.
    """
    kind = path.suffix.lower()
    if kind == ".ply":
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES).partition(b"end_header")[0]
        found = re.search(rb"^element face (\d{1,18})\s*$", header, re.MULTILINE)
        return int(found[1]) if found else 0
    if kind == ".obj":
        return _lines_of_faces(path)
    return int(file_facts(path).get("num_faces", 0))


def _lines_of_faces(path: Path) -> int:
    num, last = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            text = last + chunk
            num += text.count(b"\nf ")
            last = text[-2:]  # no whole b"\nf " fits into it, so that none counts twice
    return num
