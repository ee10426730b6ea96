"""One individual of the embedded world, and pictures of it.

A scene is one normalised mesh (bounding box centred at the origin, farthest vertex at 0.9) with a
role per face and a colour per role. Pictures are ray cast (Warp) and shaded in NumPy.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from redream.kernels.raycast import RayCaster
from redream.mini.categories import CATEGORIES
from redream.mini.materials import COLOURS, FIXED_ROLES, MATERIALS, Floats, Material, contrasting
from redream.mini.parts import Part

RADIUS = 0.9
FOVY_DEG = 40.0
PHASE = 0.04  # how far a pattern is shifted, at most, along each axis
NORMAL_BACKGROUND = (0.5, 0.5, 1.0)  # the normal that looks at the camera: flat lilac

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Coat:
    """A material as one individual wears it.

    Attributes:
        material: The material.
        primary: ``3`` its first colour.
        secondary: ``3`` its second colour.
        phase: ``3`` shift of its pattern.
        roles: The roles it covers.
    """

    material: Material
    primary: Floats
    secondary: Floats
    phase: Floats
    roles: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """A merged, normalised mesh and its paint.

    Attributes:
        category: Name of the category.
        vertices: ``V 3`` positions.
        normals: ``V 3`` unit normals.
        faces: ``F 3`` corner indices.
        roles: ``R`` role names.
        face_role: ``F`` index into ``roles``.
        palette: ``R 3`` flat colour of each role, in [0, 1].
        coat: What covers some roles instead of their flat colour, if anything.
    """

    category: str
    vertices: Floats
    normals: Floats
    faces: NDArray[np.int64]
    roles: tuple[str, ...]
    face_role: NDArray[np.int64]
    palette: Floats
    coat: Coat | None = None

    @cached_property
    def caster(self) -> RayCaster:
        """The mesh, ready for rays."""
        return RayCaster(torch.from_numpy(self.vertices), torch.from_numpy(self.faces))


@dataclass(frozen=True)
class Camera:
    """A camera on a sphere, looking at the origin (OpenGL axes, vertical field of view 40 deg).

    Attributes:
        azimuth_deg: 0 sees the front from +Z; grows toward +X.
        elevation_deg: Grows upward.
        distance: From the origin.
    """

    azimuth_deg: float
    elevation_deg: float = 15.0
    distance: float = 3.0

    @property
    def c2w(self) -> Floats:
        """``4 4`` camera-to-world matrix."""
        azimuth, elevation = math.radians(self.azimuth_deg), math.radians(self.elevation_deg)
        flat = math.cos(elevation)
        back = np.array([flat * math.sin(azimuth), math.sin(elevation), flat * math.cos(azimuth)])
        right = np.array([math.cos(azimuth), 0.0, -math.sin(azimuth)])
        pose = np.eye(4)
        pose[:3] = np.stack([right, np.cross(back, right), back, back * self.distance], axis=1)
        return pose


@dataclass(frozen=True)
class Lighting:
    """Soft light: ambient plus one distant lamp.

    Attributes:
        azimuth_deg: Where the lamp is, relative to the camera's azimuth.
        elevation_deg: Height of the lamp.
        ambient: Share of light that comes from everywhere.
    """

    azimuth_deg: float = 30.0
    elevation_deg: float = 45.0
    ambient: float = 0.62


@dataclass(frozen=True)
class Background:
    """A vertical gradient from ``top`` to ``bottom`` (equal for a solid colour).

    Attributes:
        top: RGB in [0, 1] at the upper edge.
        bottom: RGB in [0, 1] at the lower edge.
        name: A colour word for captions, or None.
    """

    top: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bottom: tuple[float, float, float] = (1.0, 1.0, 1.0)
    name: str | None = "white"


WHITE_BACKGROUND = Background()
_DEFAULT_LIGHTING = Lighting()


def assemble(
    parts: Sequence[Part], category: str, colours: Mapping[str, ArrayLike], coat: Coat | None = None
) -> Scene:
    """Joins parts into one normalised scene.

    Args:
        parts: The pieces, in arbitrary units.
        category: The category's name.
        colours: RGB in [0, 1] of every role that occurs.
        coat: A material over some of the roles.

    Returns:
        The scene.
    """
    vertices = np.concatenate([part.vertices for part in parts])
    vertices = vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    vertices *= RADIUS / np.linalg.norm(vertices, axis=1).max()
    starts = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    roles = tuple(sorted({part.role for part in parts}))
    return Scene(
        category=category,
        vertices=vertices,
        normals=np.concatenate([part.normals for part in parts]),
        faces=np.concatenate([p.faces + start for p, start in zip(parts, starts, strict=True)]),
        roles=roles,
        face_role=np.repeat([roles.index(p.role) for p in parts], [len(p.faces) for p in parts]),
        palette=np.array([colours[role] for role in roles], dtype=np.float64),
        coat=coat,
    )


def make_scene(category: str, material: str, colour: str, rng: np.random.Generator) -> Scene:
    """Builds a random individual.

    Args:
        category: A key of ``CATEGORIES``.
        material: A key of ``MATERIALS``.
        colour: A key of ``COLOURS`` (ignored by materials with a fixed palette).
        rng: Decides proportions, shades, the pattern's phase and the accents.

    Returns:
        The scene.
    """
    kind = MATERIALS[material]
    primary = np.clip(np.array(COLOURS[colour]) * rng.uniform(0.92, 1.06), 0, 1)
    phase = rng.uniform(-PHASE, PHASE, 3)
    coat = Coat(kind, primary, contrasting(primary, rng), phase, ("body", "accent"))
    accent = primary
    if (choice := rng.random()) < 0.45:  # else the material covers the accents too
        coat = replace(coat, roles=("body",))
        other = str(rng.choice([name for name in COLOURS if name != colour]))
        accent = primary * rng.uniform(0.6, 0.75) if choice < 0.2 else np.array(COLOURS[other])
    colours: dict[str, ArrayLike] = {**FIXED_ROLES, "body": primary, "accent": accent}
    return assemble(CATEGORIES[category].build(rng), category, colours, coat)


def render_scene(
    scene: Scene,
    cameras: Sequence[Camera],
    size: int = 64,
    supersample: int = 2,
    lighting: Lighting = _DEFAULT_LIGHTING,
    background: Background = WHITE_BACKGROUND,
    normal_map: bool = False,
) -> Picture:
    """Takes pictures of a scene.

    Args:
        scene: What to picture.
        cameras: ``N`` cameras.
        size: Height and width in pixels.
        supersample: Rays per pixel along each axis, box-filtered.
        lighting: The light, which moves with the camera.
        background: What rays that miss see.
        normal_map: Whether to show normals in the camera's frame (x right, y up, z toward the
            viewer, mapped from [-1, 1] to [0, 1]) on ``NORMAL_BACKGROUND`` instead of colours.

    Returns:
        ``N size size 3`` uint8, sRGB.
    """
    if normal_map:
        background = Background(NORMAL_BACKGROUND, NORMAL_BACKGROUND, None)
    fine = size * supersample
    local = _rays(fine)
    blend = np.linspace(0.0, 1.0, fine)[:, None, None]
    empty = (1 - blend) * np.array(background.top) + blend * np.array(background.bottom)
    pictures = np.empty((len(cameras), size, size, 3), dtype=np.uint8)
    for i, camera in enumerate(cameras):
        pose = camera.c2w
        directions = local @ pose[:3, :3].T
        hits = scene.caster.cast(
            torch.from_numpy(np.broadcast_to(pose[:3, 3], directions.shape).astype(np.float32)),
            torch.from_numpy(directions.astype(np.float32)),
        )
        face = hits.face.numpy()
        rows = np.flatnonzero(face >= 0)
        face, weight = face[rows], hits.barycentric.numpy()[rows].astype(np.float64)
        normal = np.einsum("nk,nkc->nc", weight, scene.normals[scene.faces[face]])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        image = np.broadcast_to(empty, (fine, fine, 3)).reshape(-1, 3).copy()
        if normal_map:
            image[rows] = normal @ pose[:3, :3] * 0.5 + 0.5
        else:
            depth = hits.depth.numpy()[rows, None].astype(np.float64)
            position = pose[:3, 3] + depth * directions[rows]
            albedo = _albedo(scene, face, position, normal)
            image[rows] = albedo * _light(normal, camera, lighting)[:, None]
        image = image.reshape(size, supersample, size, supersample, 3).mean(axis=(1, 3))
        pictures[i] = np.clip(image * 255 + 0.5, 0, 255)
    return pictures


def _rays(fine: int) -> Floats:
    reach = math.tan(math.radians(FOVY_DEG) / 2)
    ticks = ((np.arange(fine) + 0.5) / fine * 2 - 1) * reach
    x, y = np.meshgrid(ticks, -ticks)
    return np.stack([x, y, -np.ones_like(x)], axis=-1).reshape(-1, 3)


def _albedo(scene: Scene, face: NDArray[np.int64], position: Floats, normal: Floats) -> Floats:
    role = scene.face_role[face]
    albedo = scene.palette[role]
    if (coat := scene.coat) is not None:
        covered = np.array([name in coat.roles for name in scene.roles])
        rows = np.flatnonzero(covered[role])
        albedo[rows] = coat.material.paint(
            position[rows] + coat.phase, normal[rows], coat.primary, coat.secondary
        )
    return albedo


def _light(normal: Floats, camera: Camera, lighting: Lighting) -> Floats:
    lamp = Camera(camera.azimuth_deg + lighting.azimuth_deg, lighting.elevation_deg).c2w[:3, 2]
    facing = np.clip((normal @ lamp + 0.25) / 1.25, 0.0, 1.0)  # wrapped, so shadows stay soft
    return lighting.ambient + (1.08 - lighting.ambient) * facing


def sample_camera(azimuth_deg: float, rng: np.random.Generator) -> Camera:
    """A camera at an azimuth, with random elevation in [-10, 40] deg and distance in [2.8, 3.2]."""
    return Camera(azimuth_deg, rng.uniform(-10, 40), rng.uniform(2.8, 3.2))


def sample_lighting(rng: np.random.Generator) -> Lighting:
    """A lamp mostly on the camera's side and above it."""
    return Lighting(rng.normal(0, 45), rng.uniform(20, 70), rng.uniform(0.55, 0.7))


def sample_background(rng: np.random.Generator) -> Background:
    """White (45%), one random light or saturated colour (35%) or a vertical gradient (20%)."""
    kind = rng.random()
    if kind < 0.45:
        return WHITE_BACKGROUND
    pale = tuple(float(c) for c in rng.uniform(0.6, 1.0, 3))
    if kind < 0.80:
        if rng.random() < 0.5:
            return Background(pale, pale, None)  # type: ignore[arg-type]
        name = str(rng.choice(list(COLOURS)))
        return Background(COLOURS[name], COLOURS[name], name)
    other = tuple(float(c) for c in rng.uniform(0.25, 1.0, 3))
    top, bottom = (pale, other) if rng.random() < 0.5 else (other, pale)
    return Background(top, bottom, None)  # type: ignore[arg-type]
