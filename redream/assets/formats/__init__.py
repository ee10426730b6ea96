"""The formats that a model can be exported to, a file each."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from redream.assets.formats.obj import write_obj
from redream.assets.formats.ply import write_ply
from redream.assets.formats.usd import require_usd, write_usd
from redream.assets.writing import write_glb
from redream.types import TriangleMesh

FormatName = Literal["glb", "obj", "ply", "usd"]


class Format(NamedTuple):
    """How a format is written.

    Attributes:
        suffix: What its files end with.
        write: Writes a mesh to a path, with what to say of it; whole or not at all.
        require: Raises ImportError in one line where a library is missing.
    """

    suffix: str
    write: Callable[[Path, TriangleMesh, Mapping[str, Any]], None]
    require: Callable[[], None] = lambda: None


FORMATS: dict[FormatName, Format] = {
    "glb": Format(".glb", write_glb),
    "obj": Format(".obj", write_obj),
    "ply": Format(".ply", write_ply),
    "usd": Format(".usdz", write_usd, require_usd),
}

__all__ = ["FORMATS", "Format", "FormatName", "write_obj", "write_ply", "write_usd"]
