"""The user's own 3D files in the place of retrieved ones (App. F, 3D data enhancement)."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from redream.assets.annotations import asset_record, file_facts
from redream.assets.base import Store
from redream.assets.face_counts import stated_faces
from redream.assets.loading import SUFFIXES, UpAxis, load_mesh
from redream.kernels.outlines import find_edges
from redream.types import Asset, TriangleMesh

MAX_FACES = 2_000_000


class OwnFiles(Store):
    """A few chosen 3D files, in their order; an asset's uid is its place in the order.

    Args:
        files: ``.glb``, ``.gltf``, ``.obj`` or ``.ply`` files.
        captions: What each of them shows.
        up: Which of their axes points up.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If there is none, one is of another kind or has too many faces (as far as it
            states them), or there are not as many captions.
    """

    def __init__(
        self, files: Sequence[str | Path], captions: Sequence[str], up: UpAxis = "y"
    ) -> None:
        self.up = up
        self.files = [Path(file).expanduser() for file in files]
        self.captions = list(captions)
        if not self.files:
            raise ValueError("data.assets is empty: name a 3D file, or null to retrieve assets")
        if len(self.captions) != len(self.files):
            raise ValueError(
                f"data.captions has {len(self.captions)} captions for {len(self.files)} assets: "
                "give one for each, in their order"
            )
        for file in self.files:
            if not file.is_file():
                raise FileNotFoundError(f"there is no 3D file at {file}")
            if file.suffix.lower() not in SUFFIXES:
                raise ValueError(f"cannot read {file}: use one of {', '.join(SUFFIXES)}")
            _require_few(file, stated_faces(file))

    def assets(self) -> list[Asset]:
        """The files' records: whose they are is what the files themselves say of it."""
        records = []
        for number, (file, caption) in enumerate(zip(self.files, self.captions, strict=True)):
            facts = file_facts(file)
            whose = {} if facts.keys() & _YOURS.keys() else _YOURS  # or half of it would be yours
            source = f"your own file {file.name}"
            record = asset_record(str(number), caption, source, facts, whose)
            records.append(replace(record, origin="own"))
        return records

    def load(self, uid: str) -> TriangleMesh:
        """Loads a file, normalised to radius 0.9.

        Raises:
            ValueError: If it cannot be read, has no surface, a coordinate that is no number, or
                too many faces; one line that names it.

        Warns:
            RuntimeWarning: If edges have more than two faces, for inside and outside are then a
                matter of judgement.
        """
        file = self.files[int(uid)]
        mesh = load_mesh(file, strict=True, up=self.up)
        _require_few(file, len(mesh.faces))
        num = num_branching_edges(mesh)
        if num:
            warnings.warn(
                f"{file} is not manifold: {num} edges have more than two faces; going on, but what "
                "lies inside is guessed there",
                RuntimeWarning,
                stacklevel=2,
            )
        return mesh


_YOURS = {"license": "your own", "author": "you"}


def num_branching_edges(mesh: TriangleMesh) -> int:
    """How many edges have more than two faces, vertices of one position taken for one."""
    _, index = torch.unique(mesh.vertices, dim=0, return_inverse=True)
    edges = find_edges(index[mesh.faces.long()])
    return int((torch.bincount(edges.edge) > 2).sum())


def _require_few(file: Path, num_faces: int) -> None:
    if num_faces > MAX_FACES:
        raise ValueError(
            f"{file} has {num_faces:,} faces, and {MAX_FACES:,} are the most that are taken: "
            "decimate it first, for instance by Blender's modifier Decimate"
        )
