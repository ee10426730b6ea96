#!/usr/bin/env bash
# Opening a glTF file in Blender and writing it again drops its copyright, also with custom properties on.
#
# The surprise: glTF has one place for whose a file is, `asset.copyright`, and the usual one for the rest,
# `asset.extras`, where Sketchfab's and Objaverse's files have author, licence and source. Blender's importer
# drops both: nothing of them is in the scene, its objects or its texts, and so nothing can be exported.
# The extras of nodes become custom properties and come back, where the exporter is told to write them.
# The tempting wrong guess: a CC-BY model stays attributed when it is opened in Blender and saved as glTF,
# at least with "Custom Properties" ticked.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3.11 -m venv venv
venv/bin/pip install --quiet 'bpy==4.5.15'
venv/bin/python - <<'PYTHON'
import json
import os
import struct
import sys
from pathlib import Path

import bpy

print("Blender", bpy.app.version_string)


def header_of(path):
    data = Path(path).read_bytes()
    (length,) = struct.unpack_from("<I", data, 12)
    return json.loads(data[20 : 20 + length])


triangle = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)
header = {
    "asset": {
        "version": "2.0",
        "copyright": "2024 (c) Anna, CC-BY-4.0",
        "extras": {"author": "Anna", "license": "CC-BY-4.0", "source": "https://a.example/1"},
    },
    "scene": 0,
    "scenes": [{"nodes": [0]}],
    "nodes": [{"mesh": 0, "name": "triangle", "extras": {"of_the_node": "kept"}}],
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
    "accessors": [
        {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3", "min": [0, 0, 0], "max": [1, 1, 0]}
    ],
    "bufferViews": [{"buffer": 0, "byteLength": len(triangle)}],
    "buffers": [{"byteLength": len(triangle)}],
}
text = json.dumps(header).encode()
text += b" " * (-len(text) % 4)
total = 12 + 8 + len(text) + 8 + len(triangle)
Path("before.glb").write_bytes(
    b"glTF" + struct.pack("<IIII", 2, total, len(text), 0x4E4F534A) + text
    + struct.pack("<II", len(triangle), 0x004E4942) + triangle
)
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath=os.path.abspath("before.glb"))
kept = {kind: {each.name: {k: str(v) for k, v in each.items()} for each in getattr(bpy.data, kind)}
        for kind in ("scenes", "objects", "meshes", "collections", "texts")}
print("in Blender:", kept)
bpy.ops.export_scene.gltf(filepath=os.path.abspath("after.glb"), export_extras=True)
after = header_of("after.glb")
print("before:", header["asset"])
print("after:", after["asset"], after["nodes"])
changed = "Anna" in json.dumps(kept) or "Anna" in json.dumps(after)
changed = changed or after["nodes"][0].get("extras") != {"of_the_node": "kept"}
sys.stdout.flush()
os._exit(int(changed))  # as a module Blender may crash when it is torn down
PYTHON
