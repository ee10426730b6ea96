"""Reads PLY files as Blender, MeshLab and scanners write them.

Our own: trimesh reads no binary file that mixes triangles and quads and no triangle strips, and the
library that does is under the GPL.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from redream.assets.beside import find_beside
from redream.assets.losses import name_losses
from redream.assets.parts import Part
from redream.assets.ply_header import Element, parse_header
from redream.assets.ply_rows import body_of
from redream.assets.polygons import triangulate
from redream.assets.splat_files import is_of_splats
from redream.assets.textures import Textures
from redream.assets.wavefront import vertex_normals
from redream.errors import first_line
from redream.types import Material

_COLORS = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), tuple("rgb"))
_UVS = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"))
_CORNERS = ("vertex_indices", "vertex_index")


def ply_parts(path: Path) -> Iterator[Part]:
    """Reads the parts of a ``.ply`` file: one, or one for each of its textures.

    Colours are those of the texture that a comment names (``TextureFile``), else of vertices, else
    of faces. Alpha beside them is no opacity: the format has none, and neither MeshLab nor Blender
    shows it as one.

    Raises:
        ValueError: If it is none, is cut short, or names a vertex that is not there.
    """
    data = path.read_bytes()
    header = parse_header(data)
    if is_of_splats(header):
        raise ValueError(
            "it holds Gaussian splats, which have no surface: a particle of splats starts from it "
            "by --model.representation.init_args.init_from"
        )
    body = body_of(data, header)
    elements = {name: body.read(num, rows) for name, num, rows in header.elements}
    if "vertex" not in elements:
        raise ValueError("it has no vertices")
    points = elements["vertex"]
    vertices = _columns(points, [tuple("xyz")])
    if vertices is None:
        raise ValueError("its vertices have no x, y and z")
    normals = _columns(points, [("nx", "ny", "nz")])
    faces, cut, polygon = _triangles(elements, vertices)
    if normals is None:
        normals = vertex_normals(vertices, faces)
    losses: list[str] = []
    materials = _materials(path, header.pictures, losses)
    uvs = _texture_coordinates(points, elements.get("face"), faces, cut)
    colors = _colors(points, elements.get("face"), faces, polygon)
    numbers = np.zeros(len(faces), dtype=np.int64)
    if "face" in elements and "texnumber" in elements["face"].numbers and polygon is not None:
        numbers = elements["face"].numbers["texnumber"].astype(np.int64)[polygon]
    if header.pictures and uvs is None:
        losses.append(f"no texture coordinates, so without {header.pictures[0]}")
    for number in np.unique(numbers).tolist():
        own = np.nonzero(numbers == number)[0]
        material = materials[number] if 0 <= number < len(materials) else Material()
        tint = None if colors is None or material.has_texture else colors[own]
        place = None if uvs is None else uvs[own]
        yield Part(vertices, faces[own], normals, place, tint, material)
    name_losses(path, losses)


def _triangles(
    elements: dict[str, Element], vertices: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Faces ``F 3``, and of those cut from polygons the places in all corners, and the polygons."""
    for name in ("face", "tristrips"):
        element = elements.get(name)
        corners = next(
            (element.lists[each] for each in _CORNERS if element and each in element.lists), None
        )
        if corners is None:
            continue
        indices = corners.values.astype(np.int64)
        if name == "tristrips":
            faces, cut, polygon = _strips(indices, corners.counts), None, None
        else:
            cut, polygon = triangulate(_known(indices, vertices), corners.counts, vertices)
            faces = indices[cut]
        _known(faces, vertices)
        return faces, cut, polygon
    raise ValueError("it has no faces: points alone are not drawn")


def _known(indices: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    if len(indices) and not 0 <= indices.min() <= indices.max() < len(vertices):
        raise ValueError("a face names a vertex that is not there")
    return indices


def _strips(indices: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Triangles of strips, of which -1 ends one; every second triangle is turned over."""
    ends = np.cumsum(counts)
    breaks = np.zeros(len(indices) + 1, dtype=bool)
    breaks[ends] = True  # before the number at this place a strip ends
    position = np.arange(len(indices))
    starts = np.maximum.accumulate(
        np.where(breaks[:-1] | (position == 0), position, np.where(indices < 0, position + 1, 0))
    )
    last = position[2:]
    whole = (starts[2:] <= last - 2) & (indices[2:] >= 0)
    last = last[whole]
    odd = (last - 2 - starts[last]) % 2
    return np.stack([indices[last - 2], indices[last - 1 + odd], indices[last - odd]], axis=1)


def _texture_coordinates(
    points: Element, face: Element | None, faces: np.ndarray, cut: np.ndarray | None
) -> np.ndarray | None:
    """``F 3 2`` of the faces' corners (MeshLab), else of vertices; v points up in the file."""
    at_corners = face.lists.get("texcoord") if face is not None else None
    if at_corners is not None and cut is not None and len(at_corners.values) > 2 * cut.max():
        found = at_corners.values.astype(np.float64).reshape(-1, 2)[cut]
    else:
        at_vertices = _columns(points, _UVS)
        if at_vertices is None:
            return None
        found = at_vertices[faces]
    upright: np.ndarray = found * (1.0, -1.0) + (0.0, 1.0)
    return upright


def _colors(
    points: Element, face: Element | None, faces: np.ndarray, polygon: np.ndarray | None
) -> np.ndarray | None:
    """``F 3 4`` of the vertices, else of the faces; opaque."""
    at_vertices = _rgb(points)
    if at_vertices is not None:
        of_corners: np.ndarray = at_vertices[faces]
        return of_corners
    at_faces = None if face is None or polygon is None else _rgb(face)
    return None if at_faces is None else np.repeat(at_faces[polygon, None], 3, axis=1)


def _rgb(element: Element) -> np.ndarray | None:
    """Colours in [0, 1]; integers are divided by the largest that their type has."""
    names = next((each for each in _COLORS if {*each} <= {*element.numbers}), None)
    if names is None:
        return None
    columns = []
    for name in names:
        kind = element.kinds[name]
        top = 1.0 if kind[0] == "f" else 65535.0 if kind == "u2" else 255.0
        columns.append(element.numbers[name] / top)
    return np.stack([*columns, np.ones(element.num)], axis=1).clip(0.0, 1.0)


def _columns(element: Element, choices: Sequence[tuple[str, ...]]) -> np.ndarray | None:
    """The first of some groups of properties that an element has, as float64."""
    names = next((each for each in choices if {*each} <= {*element.numbers}), None)
    if names is None:
        return None
    return np.stack([element.numbers[name].astype(np.float64) for name in names], axis=1)


def _materials(path: Path, pictures: list[str], losses: list[str]) -> list[Material]:
    """A material for each picture that comments name; white where it is not to be had."""
    textures, materials = Textures(len(pictures)), []
    for name in pictures:
        texture = None
        try:
            texture = textures.rgba(name, find_beside(path, name).read_bytes, -np.inf)
        except (OSError, ValueError) as error:
            losses.append(f"without a picture: {first_line(error)}")
        materials.append(Material(texture=texture))
    losses += [f"without picture {name}: {why}" for name, why in textures.unread.items()]
    return materials
