"""A mesh of fixed topology with a learned texture."""

import json
from collections.abc import Mapping
from typing import Any, TypedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from redream.meshes.layout import Layout
from redream.meshes.triangles import sphere, weld_kept
from redream.plain_data import read_json
from redream.representations.base import Shading, Start, weights_of
from redream.representations.start import read_start
from redream.representations.surface import SurfaceRepresentation
from redream.schedules import Ramp
from redream.types import key_generator

_LAYOUT = ("corner_uvs", "face_materials", "face_nodes", "layout_names")
"""Buffers that older checkpoints lack."""


class MeshPenalties(TypedDict, total=False):
    """Weights of a mesh's regularisers; see :mod:`redream.representations.surface_regularizers`."""

    normal_consistency: Ramp
    laplacian: Ramp


class Mesh(SurfaceRepresentation):
    """Triangles that stay what they are, with a colour field on them: the texture stage.

    The vertices stay, too, unless ``vertex_lr`` lets them move. While ``training``, views carry the
    penalties ``normal_consistency`` and ``laplacian``.

    Args:
        seed: Seed of the initial weights.
        init_from: What to start from: another run's ``.ckpt`` file, or a ``.glb``, ``.gltf``,
            ``.obj`` or ``.ply`` file. None starts from a sphere of radius 0.5.
        init_particle: Which particle of a checkpoint; None takes ``seed`` modulo their number, so
            that K particles start from K others.
        init_resolution: Cells along each axis of the grid on which a particle's surface is found.
        init_steps: Steps by which the colours are learned that the start has; 0 starts without.
        num_levels: Levels of the colour field's hash grid.
        log2_table_size: log2 of the most rows of a level.
        base_resolution: Cells along each axis of the coarsest level.
        max_resolution: Cells along each axis of the finest level.
        hidden: Width of the hidden layers.
        shading: What the views show: ``color``, ``lit`` (softly, from above the camera),
            ``normal`` or, in the camera's frame, ``camera_normal``.
        learn_background: Whether to learn a background by direction; white otherwise.
        grid_lr: Learning rate of the hash grid.
        mlp_lr: Learning rate of the perceptron.
        background_lr: Learning rate of the background.
        vertex_lr: Learning rate of the vertices; 0 keeps the geometry.
        penalties: Weights of the penalties, ramps by step.

    Raises:
        FileNotFoundError: If there is no file to start from.
        ValueError: If it cannot be read or has no surface.
    """

    free_rows = frozenset({"vertices", "faces", *_LAYOUT})

    faces: Tensor
    corner_uvs: Tensor
    face_materials: Tensor
    face_nodes: Tensor
    layout_names: Tensor

    def __init__(
        self,
        seed: int = 0,
        init_from: str | None = None,
        init_particle: int | None = None,
        init_resolution: int = 96,
        init_steps: int = 200,
        num_levels: int = 8,
        log2_table_size: int = 16,
        base_resolution: int = 8,
        max_resolution: int = 256,
        hidden: int = 32,
        shading: Shading = "color",
        learn_background: bool = True,
        grid_lr: float = 1e-2,
        mlp_lr: float = 1e-3,
        background_lr: float = 1e-3,
        vertex_lr: float = 0.0,
        penalties: MeshPenalties | None = None,
    ) -> None:
        super().__init__(
            key_generator("field", seed),
            num_levels,
            log2_table_size,
            base_resolution,
            max_resolution,
            hidden,
            shading,
            learn_background,
            grid_lr,
            mlp_lr,
            background_lr,
        )
        self.penalties = weights_of(penalties)
        vertices, faces = sphere(0.5)
        self.vertices = nn.Parameter(vertices, requires_grad=vertex_lr > 0.0)
        self.register_buffer("faces", faces)
        self._keep_layout(None)
        self.vertex_lr, self.init_steps = vertex_lr, init_steps
        self.is_started = init_from is not None
        if init_from is not None:
            chosen = seed if init_particle is None else init_particle
            self.start_from(read_start(init_from, chosen, init_resolution, seed), seed)

    def start_from(self, start: Start, seed: int) -> None:
        """Takes over the triangles, and learns the colours."""
        vertices, faces, kept = weld_kept(start.vertices, start.faces)
        self.vertices.data = vertices.to(self.vertices)
        self.faces = faces.to(self.faces)
        self._keep_layout(None if start.layout is None else start.layout.select(kept))
        generator = key_generator("fit", seed)
        self.color_field.fit(start.points, start.colors, self.init_steps, generator)

    def surface(self) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
        """The triangles."""
        return self.vertices, self.faces

    def extract_surface(self, resolution: int) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
        """The triangles; they need no grid, so ``resolution`` does not matter."""
        return self.vertices.detach().clone(), self.faces.clone()

    def layout(self) -> Layout | None:
        """That of the asset that it started from; the triangles are still the asset's."""
        if len(self.corner_uvs) != len(self.faces):
            return None
        names = read_json(bytes(self.layout_names.tolist()))
        materials, nodes = (tuple(each) for each in names)
        uvs, owners = self.corner_uvs.cpu(), self.face_materials.cpu()
        return Layout(uvs, owners, self.face_nodes.cpu(), materials, nodes)

    def _keep_layout(self, layout: Layout | None) -> None:
        """Keeps it in buffers, so that checkpoints have it; the names as JSON in bytes."""
        device, none = self.faces.device, torch.zeros(0, dtype=torch.long)
        if layout is None:
            layout = Layout(torch.zeros(0, 3, 2), none, none, (), ())
        names = json.dumps([layout.materials, layout.nodes]).encode()
        self.register_buffer("corner_uvs", layout.corner_uvs.float().to(device))
        self.register_buffer("face_materials", layout.face_materials.to(device))
        self.register_buffer("face_nodes", layout.face_nodes.to(device))
        self.register_buffer("layout_names", torch.tensor([*names], dtype=torch.uint8).to(device))

    def parameter_groups(self) -> list[dict[str, object]]:
        """Those of the colours and the background and, where they move, ``vertices``."""
        groups = super().parameter_groups()
        if self.vertex_lr > 0.0:
            vertices = {"name": "vertices", "params": [self.vertices], "lr": self.vertex_lr}
            groups.append(vertices | {"weight_decay": 0.0})  # places, which would shrink
        return groups

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:  # noqa: ANN401
        """Takes over the number of vertices and faces: a checkpoint holds its own geometry.

        Raises:
            ValueError: If a face has a corner that is no vertex.
        """
        known = {prefix + name: getattr(self, name) for name in _LAYOUT} | dict(state_dict)
        _require_corners(known.get(prefix + "vertices"), known.get(prefix + "faces"))
        for name in self.free_rows:
            own, loaded = getattr(self, name), known.get(prefix + name)
            if isinstance(loaded, Tensor) and loaded.shape != own.shape:
                empty = torch.empty_like(loaded, dtype=own.dtype, device=own.device)
                if name == "vertices":
                    self.vertices.data = empty
                else:
                    setattr(self, name, empty)
        super()._load_from_state_dict(known, prefix, *args)


def _require_corners(vertices: Tensor | None, faces: Tensor | None) -> None:
    if vertices is None or faces is None or faces.numel() == 0:
        return
    if int(faces.min()) < 0 or int(faces.max()) >= len(vertices):
        raise ValueError(
            "the checkpoint is damaged: a face has a corner that is no vertex; take the one before "
            "it (previous-...)"
        )
