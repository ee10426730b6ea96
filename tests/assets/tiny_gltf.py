"""Tiny glTF files made by code, a part at a time."""

import io
import json
import struct

import numpy as np
from fabricated import quadrant_picture
from PIL import Image

COMPONENTS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
SQUARE = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], dtype="f4")
UVS = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], dtype="f4")
TWO = np.array([0, 1, 2, 0, 2, 3], dtype="u2")


def png(pixels=None, kind="PNG"):
    """A picture's bytes; that of four colours by default."""
    file = io.BytesIO()
    Image.fromarray(quadrant_picture() if pixels is None else pixels).save(
        file, format=kind, **({"lossless": True} if kind == "WEBP" else {})
    )
    return file.getvalue()


class Gltf:
    """A file with one scene; ``json`` is what will be written."""

    def __init__(self):
        self.json = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": []}
        self.json |= {"scene": 0, "scenes": [{"nodes": []}], "nodes": [], "meshes": []}
        self.buffer = b""

    def view(self, data, **more):
        """A view's number."""
        view = {"buffer": 0, "byteOffset": len(self.buffer), "byteLength": len(data), **more}
        self.buffer += data + b"\0" * (-len(data) % 4)
        return self.add("bufferViews", view)

    def accessor(self, values, **more):
        """The number of an accessor with values ``N C``."""
        values = np.asarray(values)
        width = 1 if values.ndim == 1 else values.shape[1]
        described = {
            "bufferView": self.view(values.tobytes()),
            "componentType": COMPONENTS[values.dtype.str[1:]],
            "count": len(values),
            "type": TYPES[width],
        }
        return self.add("accessors", described | more)

    def sparse(self, dense, rows, base=None):
        """The number of an accessor whose values at rows alone are stored, else those of a base."""
        rows = np.asarray(rows, dtype="u2")
        values = dense[rows]
        described = {
            "componentType": COMPONENTS[dense.dtype.str[1:]],
            "count": len(dense),
            "type": TYPES[1 if dense.ndim == 1 else dense.shape[1]],
            "sparse": {
                "count": len(rows),
                "indices": {"bufferView": self.view(rows.tobytes()), "componentType": 5123},
                "values": {"bufferView": self.view(values.tobytes())},
            },
        }
        if base is not None:
            described["bufferView"] = self.view(base.tobytes())
        return self.add("accessors", described)

    def add(self, where, what):
        """The number of something in one of the file's lists."""
        self.json.setdefault(where, []).append(what)
        return len(self.json[where]) - 1

    def texture(self, picture=None, sampler=None, **more):
        """The number of a texture of a picture that lies in the buffer."""
        view = self.view(png() if picture is None else picture)
        image = self.add("images", {"bufferView": view, "mimeType": "image/png"})
        described = {"source": image}
        if sampler is not None:
            described["sampler"] = self.add("samplers", sampler)
        return self.add("textures", described | more)

    def square(self, material=None, attributes=None, node=None, mesh=None, **more):
        """Adds a square that faces +Z; attributes are numbers of accessors."""
        named = {"POSITION": self.accessor(SQUARE), "TEXCOORD_0": self.accessor(UVS)}
        primitive = {"attributes": named | (attributes or {}), "indices": self.accessor(TWO)}
        if material is not None:
            primitive["material"] = self.add("materials", material)
        number = self.add("meshes", {"primitives": [primitive | more], **(mesh or {})})
        self.json["scenes"][0]["nodes"].append(self.add("nodes", {"mesh": number, **(node or {})}))
        return self

    def use(self, *names, required=False):
        """Names extensions."""
        self.json.setdefault("extensionsUsed", []).extend(names)
        if required:
            self.json.setdefault("extensionsRequired", []).extend(names)
        return self

    def bytes(self, padding=b" "):
        """The file as GLB."""
        header = {key: value for key, value in self.json.items() if value}
        if self.buffer:
            header["buffers"] = [{"byteLength": len(self.buffer)}, *header.get("buffers", [])]
        text = json.dumps(header).encode()
        text += padding * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
        if self.buffer:
            chunks += struct.pack("<II", len(self.buffer), 0x004E4942) + self.buffer
        return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def shown(texture, **more):
    """A material whose base colour is a texture."""
    return {"pbrMetallicRoughness": {"baseColorTexture": {"index": texture, **more}}}
