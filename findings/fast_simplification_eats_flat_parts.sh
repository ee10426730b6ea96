#!/usr/bin/env bash
# fast-simplification takes whole parts of a mesh away where they are open and flat.
#
# The surprise: beside a sphere of 32,768 triangles stand 300 leaves of two triangles each. Asked for
# half of the triangles it has room enough in the sphere, and still 64 leaves are gone without a trace.
# The tempting wrong guess: quadric edge collapse (Garland and Heckbert, 1997) is what it names as its
# method; there and in other tools borders count by planes of their own, so a leaf may lose a corner but
# not vanish. Here a collapse within a flat part costs nothing, borders included, and is the first to go,
# before any of the sphere. What to do: see which parts have lost their extent, keep those as they were,
# and collapse the others.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet fast-simplification==0.2.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PY'
from importlib.metadata import version

import numpy as np
from fast_simplification import simplify


def icosphere(times):
    """An octahedron, each triangle cut in four so often."""
    points = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
    faces = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4],
                      [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])
    for _ in range(times):
        corners = points[faces]
        middle = (corners + np.roll(corners, -1, 1)) / 2
        a, b, c = corners.transpose(1, 0, 2)
        ab, bc, ca = middle.transpose(1, 0, 2)
        cut = np.stack([[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]).transpose(0, 2, 1, 3)
        points, inverse = np.unique(cut.reshape(-1, 3).round(9), axis=0, return_inverse=True)
        faces = inverse.reshape(-1, 3)
    return points / np.linalg.norm(points, axis=1, keepdims=True), faces


rng = np.random.default_rng(0)
points, faces = icosphere(6)
points = 0.3 * points
num_round = len(faces)
for _ in range(300):
    corner, (along, across) = rng.uniform(-1, 1, 3) + [3, 0, 0], 0.05 * rng.normal(size=(2, 3))
    quad = corner + np.array([0 * along, along, along + across, across])
    faces = np.concatenate([faces, len(points) + np.array([[0, 1, 2], [0, 2, 3]])])
    points = np.concatenate([points, quad])
fewer, left = simplify(points.astype(np.float32), faces.astype(np.int32), target_count=num_round // 2)


def num_leaves(points, faces):
    """Connected parts beyond the sphere."""
    parent = np.arange(len(points))
    for _ in range(len(points)):
        new = parent.copy()
        for i, j in ((0, 1), (1, 2), (2, 0)):
            np.minimum.at(new, faces[:, i], parent[faces[:, j]])
            np.minimum.at(new, faces[:, j], parent[faces[:, i]])
        if np.array_equal(new, parent):
            break
        parent = new
    beyond = points[faces[:, 0], 0] > 1.5
    return len(np.unique(parent[faces[beyond, 0]]))


before, after = num_leaves(points, faces), num_leaves(fewer, left)
print(f"fast-simplification {version('fast-simplification')}: {len(faces)} triangles to {len(left)}")
print(f"leaves: {before} before, {after} after")
assert before == 300 and after < 250, "the leaves stay now: this finding is out of date"
PY
