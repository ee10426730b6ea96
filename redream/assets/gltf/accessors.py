"""Numbers out of a glTF file's buffers: dense, sparse, interleaved, quantised, compressed.

Our own and not a library's: trimesh reads sparse accessors as zeros and quantises colours, and
pygltflib reads no accessor at all.
"""

import base64
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from redream.assets.beside import read_beside
from redream.assets.gltf.compressed import meshopt_view
from redream.assets.gltf.header import Json

_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_TOP = {5120: 127.0, 5121: 255.0, 5122: 32767.0, 5123: 65535.0}


class Accessors:
    """The accessors of a file, each read when it is asked for.

    Args:
        header: The file's JSON.
        binary: A GLB's binary chunk; empty for ``.gltf``.
        path: The file, beside which others may lie.
    """

    def __init__(self, header: Json, binary: bytes, path: Path) -> None:
        self._header, self._binary, self._path = header, binary, path
        self._buffers: dict[int, bytes] = {}
        self._views: dict[int, bytes] = {}

    def floats(self, number: int, normalised: bool = False) -> np.ndarray:
        """An accessor's values as ``N C`` float64; normalised integers become [0, 1] or [-1, 1].

        Args:
            number: Its index.
            normalised: Whether its integers mean fractions even where no flag says so.
        """
        return self.as_floats(number, self.values(number), normalised)

    def as_floats(self, number: int, values: np.ndarray, normalised: bool = False) -> np.ndarray:
        """Numbers that stand for an accessor's own, as :meth:`floats` has them."""
        accessor = self._header["accessors"][number]
        values = values.astype(np.float64)
        if normalised or accessor.get("normalized"):
            top = _TOP.get(accessor["componentType"])
            values = values if top is None else np.maximum(values / top, -1.0)
        return values

    def values(self, number: int) -> np.ndarray:
        """An accessor's numbers as the file has them, ``N C``.

        Raises:
            ValueError: If they are of an unknown kind, or lie beyond their buffer's end.
        """
        accessor = self._header["accessors"][number]
        kind, width = self._kind(accessor)
        count = int(accessor["count"])
        if "bufferView" in accessor:
            offset = accessor.get("byteOffset", 0)
            values = self._rows(accessor["bufferView"], offset, count, width, kind)
        else:
            values = np.zeros((count, width), dtype=kind)
        sparse = accessor.get("sparse")
        if sparse is None:
            return values
        num, places, there = int(sparse["count"]), sparse["indices"], sparse["values"]
        place_kind = _TYPES[places["componentType"]]
        offset = places.get("byteOffset", 0)
        rows = self._rows(places["bufferView"], offset, num, 1, place_kind)[:, 0]
        values = values.copy()
        values[rows] = self._rows(there["bufferView"], there.get("byteOffset", 0), num, width, kind)
        return values

    def view(self, number: int) -> bytes:
        """The bytes of a view, decompressed."""
        if number not in self._views:
            view = self._header["bufferViews"][number]
            decoded = meshopt_view(view, self._buffer)
            if decoded is None:
                start = view.get("byteOffset", 0)
                decoded = self._buffer(view["buffer"])[start : start + view["byteLength"]]
            self._views[number] = decoded
        return self._views[number]

    def _kind(self, accessor: Json) -> tuple[str, int]:
        kind = _TYPES.get(accessor["componentType"])
        width = _WIDTHS.get(accessor["type"])
        if kind is None or width is None:
            raise ValueError(
                f"an accessor is of {accessor['type']} and {accessor['componentType']}, which are "
                "not read"
            )
        return kind, width

    def _rows(self, view: int, offset: int, count: int, width: int, kind: str) -> np.ndarray:
        size = np.dtype(kind).itemsize
        stride = self._header["bufferViews"][view].get("byteStride") or size * width
        data = self.view(view)
        needed = offset + (stride * (count - 1) + size * width if count else 0)
        if offset < 0 or stride < 0 or needed > len(data):
            raise ValueError(f"an accessor needs {needed} bytes of a view of {len(data)}")
        return np.ndarray((count, width), kind, data, offset, (stride, size))

    def _buffer(self, number: int) -> bytes:
        if number not in self._buffers:
            uri = self._header["buffers"][number].get("uri")
            if uri is None:
                data = self._binary if number == 0 else b""
            else:
                data = linked_bytes(self._path, uri)
            self._buffers[number] = data
        return self._buffers[number]


def linked_bytes(path: Path, uri: str) -> bytes:
    """What a URI of a file holds: data of its own, or a file beside."""
    if uri.startswith("data:"):
        return base64.b64decode(uri.partition(",")[2])
    return read_beside(path, unquote(uri))
