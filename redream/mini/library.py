"""The retrieval library: clay-like GLBs that nobody has put upright to the front.

Each asset is one individual in one or two dusty colours with near-black features, turned about
the vertical axis by an angle that only ``annotations.json`` knows (for evaluation).
"""

import csv
import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from redream.mini.captions import CLAY_COLOURS, clay_caption
from redream.mini.categories import CATEGORIES
from redream.mini.scene import Scene, assemble
from redream.startup import uncollected

_FEATURES: dict[str, tuple[float, float, float]] = {
    "dark": (0.08, 0.08, 0.09),
    "light": (0.93, 0.92, 0.88),
    "glow": (0.93, 0.92, 0.88),
    "glass": (0.22, 0.24, 0.27),
}


def make_clay_scene(category: str, colour: str, rng: np.random.Generator) -> Scene:
    """Builds an individual in the library's style.

    Args:
        category: A key of ``CATEGORIES``.
        colour: A key of ``CLAY_COLOURS``.
        rng: Decides proportions and the second colour (none, in half of the cases).

    Returns:
        The scene, facing +Z.
    """
    body = np.array(CLAY_COLOURS[colour])
    other = np.array(CLAY_COLOURS[str(rng.choice(list(CLAY_COLOURS)))])
    second = other if rng.random() < 0.5 else body * 0.72
    parts = CATEGORIES[category].build(rng)
    colours = {part.role: second for part in parts} | _FEATURES | {"body": body}
    return assemble(parts, category, colours)


def scene_to_glb(scene: Scene, yaw_deg: float, extras: dict[str, str]) -> bytes:
    """Serialises a flat-coloured scene, one mesh per colour.

    Args:
        scene: The scene; its coat is ignored.
        yaw_deg: Turn about +Y before writing; the front is then seen from this azimuth.
        extras: Goes to ``asset.extras``.

    Returns:
        The bytes of a GLB.
    """
    with uncollected():  # takes most of a second, and an asset is made once
        import trimesh
        from trimesh.exchange.gltf import export_glb
        from trimesh.visual import TextureVisuals
        from trimesh.visual.material import PBRMaterial

    angle = np.radians(yaw_deg)
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    vertices, normals = scene.vertices @ turn.T, scene.normals @ turn.T
    world = trimesh.Scene()
    for colour in np.unique(scene.palette, axis=0):
        same = (scene.palette == colour).all(axis=1)
        faces = scene.faces[same[scene.face_role]]
        used, corners = np.unique(faces, return_inverse=True)
        name = next(role for role, keep in zip(scene.roles, same, strict=True) if keep)
        material = PBRMaterial(  # type: ignore[no-untyped-call]
            name=name, baseColorFactor=[*_linear(colour), 1.0], metallicFactor=0, roughnessFactor=1
        )
        mesh = trimesh.Trimesh(
            vertices[used],
            corners.reshape(-1, 3),
            vertex_normals=normals[used],
            visual=TextureVisuals(material=material),  # type: ignore[no-untyped-call]
            process=False,
        )
        world.add_geometry(mesh, node_name=name, geom_name=name)

    def add_extras(tree: dict[str, Any]) -> None:
        tree["asset"]["extras"] = extras

    data: bytes = export_glb(  # type: ignore[no-untyped-call]
        world, include_normals=True, tree_postprocessor=add_extras
    )
    return data


class Individual(NamedTuple):
    """An asset of the library, before it is made.

    Attributes:
        uid: Its name.
        category: A key of ``CATEGORIES``.
        key: Seeds its random numbers.
    """

    uid: str
    category: str
    key: tuple[int, int, int]


def individuals(seed: int = 0, per_category: int = 10) -> list[Individual]:
    """Lists the library without making anything.

    Args:
        seed: Decides everything.
        per_category: Assets of each category.
    """
    return [
        Individual(
            hashlib.sha256(f"{seed}/{category}/{i}".encode()).hexdigest()[:12],
            category,
            (seed, kind, i),
        )
        for kind, category in enumerate(CATEGORIES)
        for i in range(per_category)
    ]


def make_asset(individual: Individual) -> tuple[bytes, dict[str, Any]]:
    """Makes one asset of the library.

    Args:
        individual: Which.

    Returns:
        The bytes of its GLB, and its annotation: ``name`` (the caption), ``license``, ``author``,
        ``category``, ``has_front`` and ``yaw_deg``.
    """
    rng = np.random.default_rng(individual.key)
    category = CATEGORIES[individual.category]
    colour = str(rng.choice(list(CLAY_COLOURS)))
    scene = make_clay_scene(category.name, colour, rng)
    text = clay_caption(category.name, colour, None, rng)
    yaw_deg = round(float(rng.uniform(0, 360)), 3)
    extras = {"author": "ReDream", "license": "cc0", "title": text}
    extras["source"] = f"redream.mini.library seed {individual.key[0]}"
    return scene_to_glb(scene, yaw_deg, extras), {
        "name": text,
        "license": "cc0",
        "author": "ReDream",
        "category": category.name,
        "has_front": category.has_front,
        "yaw_deg": yaw_deg,
    }


def write_library(folder: str | os.PathLike[str], seed: int = 0, per_category: int = 10) -> None:
    """Writes the library.

    Args:
        folder: Where to write ``glbs/<uid>.glb``, ``captions.csv`` (``uid,caption``, no header)
            and ``annotations.json`` (``uid -> {name, license, author, category, has_front,
            yaw_deg}``).
        seed: Decides everything.
        per_category: Assets of each category.
    """
    root = Path(folder)
    (root / "glbs").mkdir(parents=True, exist_ok=True)
    annotations: dict[str, dict[str, Any]] = {}
    for individual in individuals(seed, per_category):
        glb, annotations[individual.uid] = make_asset(individual)
        (root / "glbs" / f"{individual.uid}.glb").write_bytes(glb)
    with open(root / "captions.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows((uid, each["name"]) for uid, each in annotations.items())
    text = json.dumps(annotations, indent=1, sort_keys=True)
    (root / "annotations.json").write_text(text + "\n", encoding="utf-8")


def _linear(colour: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    """GlTF stores base colours in linear light; pictures of the world are sRGB."""
    low, high = colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4
    return [round(float(c), 6) for c in np.where(colour <= 0.04045, low, high)]
