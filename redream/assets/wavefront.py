"""Reads Wavefront OBJ files, and says what of them is not shown.

Our own: trimesh reads one library of the several that a file may name, drops vertex colours beside
materials, and keeps silent about pictures that it does not find.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from redream.assets.losses import name_losses
from redream.assets.mtl import MtlMaterials, read_libraries
from redream.assets.parts import Part
from redream.assets.polygons import triangulate

_UNDRAWN = {"l": "lines", "p": "points", "curv": "curves", "curv2": "curves", "surf": "surfaces"}


class _Text:
    """The lines of an OBJ file, sorted by what they say."""

    def __init__(self, path: Path) -> None:
        self.rows: dict[str, list[str]] = {"v": [], "vt": [], "vn": []}
        self.faces: list[str] = []
        self.states: list[tuple[int, int, int]] = []  # of each face: material, object, smooth
        self.seen: list[tuple[int, int, int]] = []  # v, vt and vn before each face
        self.libraries: list[str] = []
        self.materials: dict[str, int] = {"": 0}
        self.objects: dict[str, int] = {"": 0}
        self.paint: list[str] = []
        self.undrawn: set[str] = set()
        self._read(path)

    def _read(self, path: Path) -> None:
        text = path.read_bytes().decode("utf-8", "replace").replace("\\\r\n", " ")
        vertices, places, normals = self.rows["v"], self.rows["vt"], self.rows["vn"]
        state = 0, 0, 0
        for line in text.replace("\\\n", " ").splitlines():
            words = line.split(None, 1)
            if len(words) < 2:
                continue
            key, rest = words
            if key in self.rows:
                self.rows[key].append(rest)
            elif key == "f":
                self.faces.append(rest)
                self.states.append(state)
                self.seen.append((len(vertices), len(places), len(normals)))
            elif key == "usemtl":
                material = self.materials.setdefault(rest.strip(), len(self.materials))
                state = material, state[1], state[2]
            elif key == "o":
                name = self.objects.setdefault(rest.strip(), len(self.objects))
                state = state[0], name, state[2]
            elif key == "s":
                state = state[0], state[1], int(rest.strip() not in ("off", "0"))
            elif key == "mtllib":
                self.libraries.append(rest.strip())
            elif key == "#MRGB":
                self.paint.append(rest.strip())
            elif key in _UNDRAWN:
                self.undrawn.add(_UNDRAWN[key])


class _Corners(NamedTuple):
    """The corners of all faces, one after the other: indices, -1 where there is none."""

    vertex: np.ndarray
    place: np.ndarray
    normal: np.ndarray
    counts: np.ndarray


def obj_parts(path: Path) -> Iterator[Part]:
    """Reads the parts of an ``.obj`` file with its materials, a part for each and each object.

    Raises:
        ValueError: If a line cannot be read, or names a vertex that is not there.
    """
    text, losses = _Text(path), list[str]()
    rows = _numbers(text.rows["v"], 3)
    vertices, colors = rows[:, :3], _vertex_colors(rows, text.paint)
    places, normals = _numbers(text.rows["vt"], 1), _numbers(text.rows["vn"], 3)
    corners = _corners(text, len(vertices), len(places), len(normals))
    cut, polygon = triangulate(corners.vertex, corners.counts, vertices)
    faces = corners.vertex[cut]
    states = np.array(text.states, dtype=np.int64).reshape(-1, 3)[polygon]
    smooth = _smooth_normals(vertices, faces, states[:, 2] == 1)
    known = MtlMaterials(path, read_libraries(path, text.libraries, losses), losses)
    names, objects = list(text.materials), list(text.objects)
    for material, owner in np.unique(states[:, :2], axis=0).tolist():
        own = np.nonzero((states[:, 0] == material) & (states[:, 1] == owner))[0]
        own_cut, own_faces = cut[own], faces[own]
        shading, uvs = smooth[own], None
        if len(normals):
            chosen = corners.normal[own_cut]
            shading = np.where((chosen >= 0)[..., None], normals[chosen], shading)
        if len(places):
            uvs = _texture_coordinates(places, corners.place[own_cut])
            scale, offset = known.placement(names[material])
            uvs = (uvs * scale + offset) * (1.0, -1.0) + (0.0, 1.0)  # glTF's v points down
        if names[material] and names[material] not in known:
            losses.append(f"no library has the material {names[material]!r}")
        yield Part(
            vertices,
            own_faces,
            shading,
            uvs,
            None if colors is None else colors[own_faces],
            known.of(names[material]),
            objects[owner],
        )
    if len(names) == 1 and known.pictures():
        losses.append(f"no face uses a material (usemtl), so without {known.pictures()[0]}")
    losses += known.unread()
    losses += [f"{each} are not drawn" for each in sorted(text.undrawn)]
    name_losses(path, losses)


def _numbers(rows: list[str], least: int) -> np.ndarray:
    """Rows of numbers; those that are shorter than others are filled by NaN."""
    words = [row.partition("#")[0].split() if "#" in row else row.split() for row in rows]
    lengths = {len(row) for row in words}
    most = max(lengths, default=least)
    if min(lengths, default=least) < least:
        raise ValueError(f"a line has fewer than {least} numbers")
    if len(lengths) > 1:
        words = [row + ["nan"] * (most - len(row)) for row in words]
    flat = np.array([word for row in words for word in row], dtype=np.float64)
    return flat.reshape(-1, most)


def _vertex_colors(rows: np.ndarray, paint: list[str]) -> np.ndarray | None:
    """``V 4`` colours behind the coordinates (MeshLab), or in ZBrush's comments; None without."""
    if paint:
        digits = re.sub(r"\s", "", "".join(paint))
        whole = digits[: len(digits) // 8 * 8]
        painted = np.frombuffer(bytes.fromhex(whole), dtype=np.uint8).reshape(-1, 4)[:, 1:]
        if len(painted) == len(rows):
            return np.concatenate([painted / 255.0, np.ones((len(rows), 1))], axis=1)
    if rows.shape[1] < 6:
        return None
    rgb = rows[:, 3:6]
    top = 255.0 if np.nanmax(rgb, initial=0.0) > 1.0 else 1.0
    rgb = np.where(np.isfinite(rgb), rgb / top, 1.0)
    return np.concatenate([rgb, np.ones((len(rows), 1))], axis=1)


def _corners(text: _Text, *lengths: int) -> _Corners:
    """Reads ``f`` lines: ``v``, ``v/vt``, ``v//vn`` or ``v/vt/vn``, counted from 1 or backwards."""
    words = [line.partition("#")[0].split() for line in text.faces]
    counts = np.array([len(each) for each in words], dtype=np.int64)
    flat = [word for each in words for word in each]
    kinds = {(word.count("/"), "//" in word) for word in flat}
    found = np.zeros((len(flat), 3), dtype=np.int64)  # 0: none
    columns, numbers = [0], []
    if kinds in ({(0, False)}, {(1, False)}, {(2, False)}, {(2, True)}):
        slashes, is_bare = kinds.pop()
        columns = [0, 2] if is_bare else list(range(slashes + 1))
        numbers = " ".join(flat).replace("//", "/").replace("/", " ").split()
    if flat and len(numbers) == len(flat) * len(columns):
        found[:, columns] = np.array(numbers, dtype=np.int64).reshape(len(flat), -1)
    else:  # of several kinds, or with nothing behind a slash
        for number, word in enumerate(flat):
            for column, each in enumerate(word.split("/")[:3]):
                found[number, column] = int(each or 0)
    if (found < 0).any():
        before = np.array(text.seen, dtype=np.int64).repeat(counts, axis=0)
        found = np.where(found < 0, found + before + 1, found)
    if (found < 0).any() or (found > np.array(lengths)).any() or (found[:, 0] == 0).any():
        raise ValueError("a face names a vertex that is not there")
    vertex, place, normal = (found - 1).T
    return _Corners(vertex, place, normal, counts)


def _texture_coordinates(places: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    uv = np.concatenate([places, np.zeros_like(places)], axis=1)[:, :2]
    found: np.ndarray = np.where((chosen >= 0)[..., None], uv[chosen], 0.0)
    return found


def _smooth_normals(vertices: np.ndarray, faces: np.ndarray, is_smooth: np.ndarray) -> np.ndarray:
    """Normals of corners, ``F 3 3``: means at vertices in smoothing groups, else the face's own."""
    corners = vertices[faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.repeat(flat[:, None], 3, axis=1)
    if is_smooth.any():
        normals[is_smooth] = vertex_normals(vertices, faces[is_smooth])[faces[is_smooth]]
    return normals


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Means of the faces' normals at each vertex, weighted by their angles there; ``V 3``."""
    corners = vertices[faces]
    after, before = np.roll(corners, -1, axis=1) - corners, np.roll(corners, 1, axis=1) - corners
    cross = np.cross(after, before)  # F 3 3, the face's normal at each of its corners
    length = np.linalg.norm(cross, axis=-1)
    angle = np.arctan2(length, (after * before).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        weighted = np.nan_to_num(cross * (angle / length)[..., None], posinf=0.0, neginf=0.0)
    index = faces.reshape(-1)
    columns = weighted.reshape(-1, 3).T
    return np.stack([np.bincount(index, each, len(vertices)) for each in columns], axis=1)
