"""Low-poly primitives with outward normals, and the few transforms that place them.

Units are arbitrary (a scene is normalised when it is put together); +Y is up and +Z is the front.
Flat faces own their corners, so normals are exact and shading is as flat or smooth as intended.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Point = tuple[float, float, float]

_CREASE_DEG = 40.0


@dataclass(frozen=True)
class Part:
    """One piece of a shape.

    Attributes:
        vertices: ``V 3`` positions.
        normals: ``V 3`` unit outward normals.
        faces: ``F 3`` corner indices, counter-clockwise seen from outside.
        role: What paints it: ``body``, ``accent`` or one of ``materials.FIXED_ROLES``.
    """

    vertices: Floats
    normals: Floats
    faces: Ints
    role: str

    def transformed(self, matrix: Floats) -> "Part":
        """The part under a ``3 3`` linear map, which may mirror."""
        normals = self.normals @ np.linalg.inv(matrix)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        faces = self.faces if np.linalg.det(matrix) > 0 else self.faces[:, ::-1]
        return replace(self, vertices=self.vertices @ matrix.T, normals=normals, faces=faces)

    def at(self, x: float, y: float, z: float) -> "Part":
        """The part moved by ``(x, y, z)``."""
        return replace(self, vertices=self.vertices + np.array([x, y, z]))

    def turned(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> "Part":
        """The part rotated about the x, then y, then z axis, in degrees."""
        return self.transformed(_rotation(2, z) @ _rotation(1, y) @ _rotation(0, x))

    def stretched(self, x: float = 1.0, y: float = 1.0, z: float = 1.0) -> "Part":
        """The part scaled along the axes."""
        return self.transformed(np.diag([x, y, z]))


def both(part: Part) -> list[Part]:
    """A part and its mirror image on the other side (x to -x)."""
    return [part, part.stretched(x=-1.0)]


def around(part: Part, num: int, phase_deg: float = 0.0) -> list[Part]:
    """``num`` copies of a part, evenly turned about the vertical axis."""
    return [part.turned(y=phase_deg + 360.0 * i / num) for i in range(num)]


def prism(role: str, outline: Sequence[tuple[float, float]], depth: float) -> Part:
    """Extrudes a counter-clockwise, star-shaped outline in XY to z in ``[-depth/2, depth/2]``."""
    ring = np.array(outline, dtype=np.float64)
    num = len(ring)
    front = np.column_stack([ring, np.full(num, depth / 2)])
    back = front * np.array([1.0, 1.0, -1.0])
    following = np.roll(np.arange(num), -1)
    middle = np.broadcast_to(front.mean(axis=0), front.shape)
    rear = np.broadcast_to(back.mean(axis=0), back.shape)
    triangles = [
        np.stack([middle, front, front[following]], axis=1),
        np.stack([rear, back[following], back], axis=1),
        np.stack([back, back[following], front[following]], axis=1),
        np.stack([back, front[following], front], axis=1),
    ]
    return _flat(role, np.concatenate(triangles))


def box(role: str, width: float, height: float, depth: float, top: Point = (1, 1, 0)) -> Part:
    """A box about the origin.

    Args:
        role: The role.
        width: Size along x.
        height: Size along y.
        depth: Size along z.
        top: Scale of the upper face in x and in z, and its shift in z.
    """
    x, y, z = width / 2, height / 2, depth / 2
    ring = np.array([[-x, -y, z], [x, -y, z], [x, -y, -z], [-x, -y, -z]])
    lid = ring * np.array([top[0], -1, top[1]]) + np.array([0, 0, top[2]])
    corners = np.concatenate([ring, lid])
    quads = [(0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7), (4, 5, 6, 7), (3, 2, 1, 0)]
    triangles = [[q[0], q[1], q[2]] for q in quads] + [[q[0], q[2], q[3]] for q in quads]
    return _flat(role, corners[np.array(triangles)])


def lathe(role: str, profile: Sequence[tuple[float, float]], sides: int = 18) -> Part:
    """Turns a profile of ``(radius, y)`` points, from bottom to top, about the y axis.

    Consecutive segments share normals unless they meet at more than 40 degrees.
    """
    points = np.array(profile, dtype=np.float64)
    step = np.diff(points, axis=0)
    step /= np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-12)
    cosine = (step[1:] * step[:-1]).sum(axis=1)
    crease = math.cos(math.radians(_CREASE_DEG))
    cuts = [0, *(np.flatnonzero(cosine < crease) + 1).tolist(), len(step)]
    vertices, normals, faces, offset = [], [], [], 0
    angle = np.arange(sides) * (2 * np.pi / sides)
    sine, cosine = np.sin(angle), np.cos(angle)
    for first, last in zip(cuts[:-1], cuts[1:], strict=True):
        run, tangent = points[first : last + 1], step[first:last]
        mean = np.concatenate([tangent[:1], tangent[1:] + tangent[:-1], tangent[-1:]])
        mean /= np.linalg.norm(mean, axis=1, keepdims=True)
        out, up = mean[:, 1:], -mean[:, :1]
        radius, height = run[:, :1], run[:, 1:]
        rows = np.ones_like(angle)
        vertices.append(np.stack([radius * sine, height * rows, radius * cosine], -1))
        normals.append(np.stack([out * sine, up * rows, out * cosine], -1))
        for k in range(len(run) - 1):
            a = offset + k * sides + np.arange(sides)
            b = offset + k * sides + np.roll(np.arange(sides), -1)
            if run[k, 0] > 1e-9:
                faces.append(np.stack([a, b, b + sides], -1))
            if run[k + 1, 0] > 1e-9:
                faces.append(np.stack([a, b + sides, a + sides], -1))
        offset += len(run) * sides
    return Part(
        np.concatenate([v.reshape(-1, 3) for v in vertices]),
        np.concatenate([n.reshape(-1, 3) for n in normals]),
        np.concatenate(faces),
        role,
    )


def ellipsoid(role: str, x: float, y: float, z: float) -> Part:
    """An ellipsoid of the given half-axes about the origin, coarser when small."""
    rings, sides = (8, 16) if max(x, y, z) > 0.18 else (6, 9)
    return lathe(role, _arc(1.0, -90, 90, 0.0, rings), sides).stretched(x, y, z)


def cylinder(role: str, radius: float, height: float, top: float = 1.0, sides: int = 18) -> Part:
    """An upright cylinder about the origin; ``top`` scales the upper radius (0 makes a cone)."""
    half = height / 2
    return lathe(role, [(0, -half), (radius, -half), (radius * top, half), (0, half)], sides)


def cone(role: str, radius: float, height: float, sides: int = 18) -> Part:
    """An upright cone about the middle of its height."""
    half = height / 2
    return lathe(role, [(0, -half), (radius, -half), (0, half)], sides)


def torus(role: str, radius: float, tube: float, sides: int = 18) -> Part:
    """A flat-lying ring; ``tube`` is the radius of its cross-section."""
    return lathe(role, [(radius + r, y) for r, y in _arc(tube, -180, 180, 0.0, 8)], sides)


def limb(role: str, start: Point, end: Point, radius: float, tip: float | None = None) -> Part:
    """A capsule from ``start`` (radius ``radius``) to ``end`` (radius ``tip``)."""
    axis = np.array(end, dtype=np.float64) - np.array(start, dtype=np.float64)
    length = float(np.linalg.norm(axis))
    tip = radius if tip is None else tip
    profile = _arc(radius, -90, 0, 0.0, 3) + _arc(tip, 0, 90, length, 3)
    up = axis / max(length, 1e-12)
    helper = np.array([1.0, 0.0, 0.0]) if abs(up[0]) < 0.9 else np.array([0.0, 0.0, 1.0])
    forward = np.cross(helper, up)
    forward /= np.linalg.norm(forward)
    frame = np.stack([np.cross(up, forward), up, forward], axis=1)
    return lathe(role, profile, 10).transformed(frame).at(*start)


def chain(role: str, points: Sequence[Point], radius: float, tip: float) -> list[Part]:
    """Capsules along a polyline, tapering from ``radius`` to ``tip``."""
    radii = np.linspace(radius, tip, len(points)).tolist()
    return [
        limb(role, points[i], points[i + 1], radii[i], radii[i + 1]) for i in range(len(points) - 1)
    ]


def _arc(
    radius: float, start_deg: float, end_deg: float, y: float, num: int
) -> list[tuple[float, float]]:
    angles = np.radians(np.linspace(start_deg, end_deg, num + 1))
    across, up = np.cos(angles), np.sin(angles)
    across[np.abs(across) < 1e-9] = 0.0
    return [(radius * float(a), y + radius * float(u)) for a, u in zip(across, up, strict=True)]


def _flat(role: str, triangles: Floats) -> Part:
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    faces = np.arange(3 * len(triangles)).reshape(-1, 3)
    return Part(triangles.reshape(-1, 3), np.repeat(normals, 3, axis=0), faces, role)


def _rotation(axis: int, degrees: float) -> Floats:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = cosine
    matrix[i, j], matrix[j, i] = -sine, sine
    return matrix
