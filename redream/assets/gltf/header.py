"""The JSON of a glTF file, and the chunk of bytes behind it."""

import struct
from pathlib import Path
from typing import Any

from redream.plain_data import read_json

Json = dict[str, Any]

_MAGIC, _JSON, _BINARY = b"glTF", 0x4E4F534A, 0x004E4942


def read_header(path: Path) -> Json:
    """Reads the JSON of a ``.glb`` or ``.gltf`` file, without its buffers.

    Raises:
        ValueError: If the file is not glTF 2.0 or is cut short.
    """
    return _read(path, with_buffer=False)[0]


def read_whole(path: Path) -> tuple[Json, bytes]:
    """Reads the JSON of a ``.glb`` or ``.gltf`` file, and a GLB's binary chunk.

    Returns:
        The JSON, and the chunk; empty where the file has none.

    Raises:
        ValueError: If the file is not glTF 2.0 or is cut short.
    """
    return _read(path, with_buffer=True)


def _read(path: Path, with_buffer: bool) -> tuple[Json, bytes]:
    buffer = b""
    if path.suffix.lower() == ".gltf":
        text = path.read_bytes()
    else:
        with path.open("rb") as file:
            head = file.read(20)
            if len(head) < 20 or head[:4] != _MAGIC:
                raise ValueError("it is not a GLB file")
            version, length, json_length, kind = struct.unpack("<IIII", head[4:])
            size = path.stat().st_size
            if version != 2 or kind != _JSON:
                raise ValueError(f"it is glTF version {version}, and only version 2 is read")
            if size < length:
                raise ValueError(f"it is cut short ({size} of {length} bytes)")
            text = file.read(json_length)
            if with_buffer:
                buffer = _binary_chunk(file.read())
    try:
        header = read_json(text.rstrip(b"\0"))  # some writers pad by zeros, not by blanks
    except ValueError as error:
        raise ValueError("its JSON is broken") from error
    if not isinstance(header, dict):
        raise ValueError("its JSON is not an object")
    return header, buffer


def _binary_chunk(rest: bytes) -> bytes:
    """The first chunk of bytes among those that follow the JSON; others are of extensions."""
    start = 0
    while start + 8 <= len(rest):
        length, kind = struct.unpack_from("<II", rest, start)
        if kind == _BINARY:
            return rest[start + 8 : start + 8 + length]
        start += 8 + length
    return b""
