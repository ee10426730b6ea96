"""What a glTF file may ask for: no more than its bytes can hold.

The JSON of a few bytes may declare buffers of terabytes, thousands of views of one buffer or
a mesh that is shown a million times. Each is found here, before anything is made of it.
"""

import math
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from redream.assets.gltf.compressed import DRACO, MESHOPT
from redream.assets.gltf.header import Json
from redream.assets.gltf.nodes import num_shown_triangles, num_triangles

_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_NUMBERS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_SHARED = 16  # how often, on average, a byte may be used by views and by accessors
_COMPRESSED = 256  # the same where meshes are compressed: a byte may stand for some hundred
_MAX_REPEATED = 1 << 22  # triangles that a file may show without storing them all


def check_bounds(header: Json, path: Path, num_bytes: int) -> None:
    """Refuses a file that asks for more than it has.

    Args:
        header: The file's JSON.
        path: The file, beside which others may lie.
        num_bytes: Its size.

    Raises:
        ValueError: If a count is none, if views or accessors need more bytes than there are, or if
            more triangles are shown than stored, above four million.
    """
    available = num_bytes + sum(
        (path.parent / unquote(uri)).stat().st_size
        for uri in (buffer.get("uri") for buffer in header.get("buffers", ()))
        if isinstance(uri, str) and (path.parent / unquote(uri[:255])).is_file()
    )
    views = header.get("bufferViews", ())
    is_compressed = {DRACO, *MESHOPT} & {*header.get("extensionsUsed", ())}
    most = (_COMPRESSED if is_compressed else _SHARED) * available
    needed = sum(_count(view.get("byteLength"), "the length of a view") for view in views)
    if needed > most:
        raise ValueError(f"its views are of {needed} bytes, and it has {available}")
    needed = sum(map(_accessor_bytes, header.get("accessors", ())))
    if needed > most:
        raise ValueError(f"its accessors are of {needed} bytes, and it has {available}")
    stored = sum(
        num_triangles(header, primitive)
        for mesh in header.get("meshes", ())
        for primitive in mesh["primitives"]
    )
    shown = num_shown_triangles(header)
    if shown > max(_MAX_REPEATED, stored):
        raise ValueError(f"it shows {shown} triangles, and stores {stored}")


def _accessor_bytes(accessor: Json) -> int:
    size = _BYTES.get(accessor["componentType"], 8) * _NUMBERS[accessor["type"]]
    sparse = accessor.get("sparse")
    num_sparse = 0 if sparse is None else _count(sparse.get("count"), "the count of a sparse one")
    return size * (_count(accessor.get("count"), "the count of an accessor") + num_sparse)


def _count(value: Any, what: str) -> int:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{what} is no number")
    if not (math.isfinite(value) and value >= 0 and value == int(value)):
        raise ValueError(f"{what} is {value}")
    return int(value)
