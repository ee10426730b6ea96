#!/usr/bin/env bash
# Surprise: trimesh reads a sparse accessor of a glTF file as zeros, without a word. A triangle whose
# three red vertex colours are stored sparsely (glTF 2.0, section 3.6.2.3; Khronos's validator finds
# nothing) comes out black and transparent; stored densely, the same triangle is red.
# The tempting wrong guess: a loader that returns a mesh, and warns of nothing, has read the file, so
# that a black asset is a black asset.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q trimesh==5.2.0 numpy pillow >/dev/null 2>&1
"$work/venv/bin/python" - <<'PYTHON'
import io
import json
import struct
import sys

import numpy as np
import trimesh

POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype="<f4")
RED = np.array([[255, 0, 0, 255]] * 3, dtype="u1")
ROWS = np.array([0, 1, 2], dtype="<u2")


def glb(is_sparse):
    pieces = [POINTS.tobytes(), RED.tobytes(), ROWS.tobytes() + b"\0\0"]
    starts = np.cumsum([0, *map(len, pieces)]).tolist()
    views = [{"buffer": 0, "byteOffset": s, "byteLength": n} for s, n in zip(starts, (36, 12, 6))]
    color = {"componentType": 5121, "normalized": True, "count": 3, "type": "VEC4"}
    if is_sparse:
        indices = {"bufferView": 2, "componentType": 5123}
        color["sparse"] = {"count": 3, "indices": indices, "values": {"bufferView": 1}}
    else:
        color["bufferView"] = 1
    points = {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}
    points |= {"min": [0, 0, 0], "max": [1, 1, 0]}
    header = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 1}}]}],
        "accessors": [points, color],
        "bufferViews": views,
        "buffers": [{"byteLength": starts[-1]}],
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    data = b"".join(pieces)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text
    body += struct.pack("<II", len(data), 0x004E4942) + data
    return b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body


print("trimesh", trimesh.__version__)
seen = {}
for name in ("dense", "sparse"):
    scene = trimesh.load_scene(io.BytesIO(glb(name == "sparse")), file_type="glb")
    mesh = next(iter(scene.geometry.values()))
    seen[name] = mesh.visual.vertex_colors.tolist()
    print(name, "COLOR_0:", seen[name])
as_known = seen["dense"] == RED.tolist() and not np.array(seen["sparse"])[:, :3].any()
print("as known: the sparse colours are read as zeros" if as_known else "it has changed")
sys.exit(0 if as_known else 1)
PYTHON
