"""Meshes that were made small: Draco and meshoptimizer, each by its own library."""

from collections.abc import Callable
from typing import Any

import numpy as np

from redream.assets.gltf.header import Json

DRACO = "KHR_draco_mesh_compression"
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")

CONVERT = (
    "pip install 'redream[compressed]', or rewrite it: npx @gltf-transform/cli copy IN.glb OUT.glb"
)


def draco_primitive(
    extension: Json, data: bytes
) -> tuple[dict[str, np.ndarray], np.ndarray] | None:
    """Decodes a primitive.

    Args:
        extension: Its ``KHR_draco_mesh_compression``.
        data: The bytes of the extension's view.

    Returns:
        The attributes ``V C`` by name as the file has them, and the faces ``F 3``; None where the
        library is missing.

    Raises:
        ValueError: If the bytes are no mesh of Draco's.
    """
    try:
        import DracoPy
    except ImportError:
        return None
    try:
        mesh: Any = DracoPy.decode(data)
    except Exception as error:  # the library raises its own kinds
        raise ValueError(f"its Draco mesh is broken ({error})") from error
    found = {each["unique_id"]: np.asarray(each["data"]) for each in mesh.attributes}
    wanted = extension["attributes"]
    missing = [name for name, number in wanted.items() if number not in found]
    if missing:
        raise ValueError(f"its Draco mesh has no {missing[0]}")
    attributes = {name: _columns(found[number]) for name, number in wanted.items()}
    return attributes, np.asarray(mesh.faces, dtype=np.int64).reshape(-1, 3)


def meshopt_view(view: Json, buffer: Callable[[int], bytes]) -> bytes | None:
    """Decodes a view.

    Args:
        view: The view's JSON.
        buffer: The bytes of a buffer by its number.

    Returns:
        The bytes that it stands for; None where it is not compressed, or where the library is
        missing and its plain bytes are there.

    Raises:
        ValueError: If it is broken, or the library is missing.
    """
    extensions = view.get("extensions", {})
    extension = next((extensions[name] for name in MESHOPT if name in extensions), None)
    if extension is None:
        return None
    try:
        import meshopt
    except ImportError:
        if len(buffer(view["buffer"])) >= view.get("byteOffset", 0) + view["byteLength"]:
            return None  # the file has the plain bytes, too
        raise ValueError(f"its meshes are compressed by meshoptimizer: {CONVERT}") from None
    start = extension.get("byteOffset", 0)
    data = buffer(extension["buffer"])[start : start + extension["byteLength"]]
    try:
        rows = meshopt.decode_gltf_buffer(
            bytes(data),
            extension["count"],
            extension["byteStride"],
            extension["mode"],
            extension.get("filter"),
        )
    except Exception as error:  # the library raises its own kinds
        raise ValueError(f"its meshoptimizer view is broken ({error})") from error
    decoded = np.ascontiguousarray(rows)
    if decoded.dtype != np.uint8:
        decoded = decoded.astype("<u4" if extension["byteStride"] == 4 else "<u2")
    return decoded.tobytes()


def _columns(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)
