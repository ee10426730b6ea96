#!/usr/bin/env bash
# Of one PLY of splats, the same tool makes a glTF and an SPZ that face opposite ways.
#
# glTF and SPZ both state +Y up and right-handed axes. The tempting guess: made from the same PLY, the
# two hold the same numbers. They do not: on the way to glTF a PLY is turned by 180 degrees about z
# (x and y change sign), on the way to SPZ by 180 degrees about x (y and z change sign). Both stand
# upright, and one shows its back. Whoever compares formats, or tests a writer of one by a reader of
# the other, finds a half turn about the vertical that no file mentions.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv env && env/bin/pip install --quiet "numpy==2.2.6" "zstandard==0.25.0" 2>/dev/null
npm install --silent --prefix . @playcanvas/splat-transform@2.7.1 >/dev/null 2>&1
env/bin/python - <<'PY'
import struct
names = ["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2",
         "rot_0", "rot_1", "rot_2", "rot_3"]
rows = [[0.25, 0.5, 0.75, 1, 0, 0, 3, -3, -3, -3, 1, 0, 0, 0],
        [-0.5, 0.125, 0.25, 0, 1, 0, 3, -3, -3, -3, 1, 0, 0, 0]]
header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
header += [f"property float {name}" for name in names] + ["end_header", ""]
with open("a.ply", "wb") as file:
    file.write("\n".join(header).encode() + b"".join(struct.pack("<14f", *row) for row in rows))
PY
tool=node_modules/.bin/splat-transform
node $tool a.ply a.glb >/dev/null 2>&1
node $tool a.ply a.spz >/dev/null 2>&1
env/bin/python - <<'PY'
import json, struct
import numpy as np, zstandard

data = open("a.glb", "rb").read()
length = struct.unpack_from("<I", data, 12)[0]
header = json.loads(data[20 : 20 + length])
accessor = header["accessors"][header["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
view = header["bufferViews"][accessor["bufferView"]]
at = 28 + length + view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
gltf = np.frombuffer(data, "<f4", 3 * accessor["count"], at).reshape(-1, 3)

raw = open("a.spz", "rb").read()
magic, version, num, degree, bits, flags, streams, toc = struct.unpack_from("<4sIIBBBBI", raw)
assert (magic, version) == (b"NGSP", 4), (magic, version)
packed, size = struct.unpack_from("<QQ", raw, toc)  # the first stream: positions
begin = toc + 16 * streams
positions = zstandard.ZstdDecompressor().decompress(raw[begin : begin + packed], size)
fixed = np.frombuffer(positions, np.uint8, 9 * num).reshape(num, 3, 3).astype(np.int64)
values = fixed[..., 0] | fixed[..., 1] << 8 | fixed[..., 2] << 16
spz = np.where(values >= 1 << 23, values - (1 << 24), values) / (1 << bits)

order = lambda rows: rows[np.argsort(np.abs(rows[:, 0]))]
gltf, spz = order(gltf), order(spz)
print("splat-transform 2.7.1\nPLY  [0.25 0.5 0.75]\nglTF", gltf[0], "\nSPZ ", spz[0].round(3))
assert np.allclose(gltf[0], [-0.25, -0.5, 0.75], atol=1e-3), "glTF: no longer a turn about z"
assert np.allclose(spz[0], [0.25, -0.5, -0.75], atol=1e-3), "SPZ: no longer a turn about x"
print("as found: a half turn about the vertical between the two")
PY
