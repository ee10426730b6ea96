#!/usr/bin/env bash
# An SPZ that splat-transform 2 wrote stands on its head when splat-transform 3 reads it.
#
# Niantic's format states its axes: +Y up, right-handed. The tempting guess: PLY to SPZ with one
# version and SPZ to PLY with another gives the PLY back, since the file between has only one meaning.
# It does not: version 2.7.1 turns a PLY by 180 degrees about x on its way to SPZ, and back; version
# 3.7.0 copies the numbers both ways, so that its SPZ have +Y down, as a PLY has. Neither says so when
# it runs, the file has no field that could tell, and each version gets its own files back.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
for version in 2.7.1 3.7.0; do
  npm install --silent --prefix "$version" "@playcanvas/splat-transform@$version" >/dev/null 2>&1
done
python3 - <<'PY'
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
run() { "$1/node_modules/.bin/splat-transform" "$2" "$3" >/dev/null 2>&1; }
for writer in 2.7.1 3.7.0; do
  run "$writer" a.ply "$writer.spz"
  for reader in 2.7.1 3.7.0; do run "$reader" "$writer.spz" "$writer-$reader.csv"; done
done
python3 - <<'PY'
import csv
print("a PLY's splat at 0.25 0.5 0.75, by way of SPZ:")
found = {}
for writer in ("2.7.1", "3.7.0"):
    for reader in ("2.7.1", "3.7.0"):
        with open(f"{writer}-{reader}.csv") as file:
            rows = [[float(row[name]) for name in "xyz"] for row in csv.DictReader(file)]
        one = min(rows, key=lambda row: abs(abs(row[0]) - 0.25))
        found[writer, reader] = [round(value, 2) for value in one]
        print(f"  written by {writer}, read by {reader}:", *found[writer, reader])
assert found["2.7.1", "2.7.1"] == found["3.7.0", "3.7.0"] == [0.25, 0.5, 0.75], "each: its own back"
assert found["2.7.1", "3.7.0"] == found["3.7.0", "2.7.1"] == [0.25, -0.5, -0.75], "turned about x"
print("as found: the half turn about x that one version makes, the other does not undo")
PY
