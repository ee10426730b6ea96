"""DMTet: a signed distance on a deformable tetrahedral grid (Shen et al., 2021)."""

import warnings
from typing import Literal, TypedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from redream.kernels.distance import signed_distance
from redream.kernels.outlines import Edges
from redream.meshes.isosurface import keep_large_components
from redream.meshes.triangles import is_closed
from redream.representations import SurfaceRepresentation
from redream.representations.base import Shading, Start, weights_of
from redream.representations.start import read_start
from redream.schedules import Ramp
from redream.types import Cameras, key_generator
from redream_kaolin.grid import TetrahedralGrid
from redream_kaolin.kaolin import find_kaolin, install_line, kaolin_surface, kaolin_visibility
from redream_kaolin.marching import marching_tetrahedra
from redream_kaolin.sheets import sheet_distance

_SEEN_SHARE = 1e-3  # of the vertices is inside where nothing is at a signed distance of 0


class DMTetPenalties(TypedDict, total=False):
    """Weights of the regularisers of DMTet."""

    normal_consistency: Ramp
    laplacian: Ramp
    eikonal: Ramp


class DMTet(SurfaceRepresentation):
    """Signed distances and offsets on a tetrahedral grid, with a colour field on the surface.

    The mesh is that of kaolin's marching tetrahedra: by kaolin where it is installed, by a PyTorch
    version that gives the same mesh where not. On CUDA kaolin's rasteriser finds what pixels see.
    While ``training``, views carry the penalties ``normal_consistency``, ``laplacian`` and
    ``eikonal``, which asks for distances that grow by one per unit around the surface.

    Args:
        seed: Seed of the initial weights.
        resolution: Cells along each axis of the grid, 32 to 256 as a rule.
        init_from: What to start from: another run's ``.ckpt`` file, or a ``.glb``, ``.gltf``,
            ``.obj`` or ``.ply`` file. None starts from a sphere. Sheets without a volume become
            1.7 cells thick.
        init_particle: Which particle of a checkpoint; None takes ``seed`` modulo their number, so
            that K particles start from K others.
        init_radius: Radius of the sphere that it starts from otherwise.
        init_steps: Steps by which the colours are learned that the start has; 0 starts without.
        backend: ``auto`` takes kaolin where it is installed, ``kaolin`` insists on it, ``torch``
            does without.
        num_levels: Levels of the colour field's hash grid.
        log2_table_size: log2 of the most rows of a level.
        base_resolution: Cells along each axis of the coarsest level.
        max_resolution: Cells along each axis of the finest level.
        hidden: Width of the hidden layers.
        shading: What the views show: ``color``, ``lit`` (softly, from above the camera) or, to
            distil the geometry by, ``normal`` or, in the camera's frame, ``camera_normal``.
        learn_background: Whether to learn a background by direction; white otherwise.
        component_share: Smallest share of all triangles that a component of the exported surface
            has.
        sdf_lr: Learning rate of the signed distances.
        offset_lr: Learning rate of the offsets; 0 keeps the grid as it is.
        grid_lr: Learning rate of the hash grid.
        mlp_lr: Learning rate of the perceptron.
        background_lr: Learning rate of the background.
        penalties: Weights of the penalties, ramps by step.

    Raises:
        FileNotFoundError: If there is no file to start from.
        ValueError: If it cannot be read or has no surface, or kaolin is missing that was asked for.

    Warns:
        RuntimeWarning: If the kaolin that is installed cannot be used, saying why and what to do.
    """

    points: Tensor
    border: Tensor

    def __init__(
        self,
        seed: int = 0,
        resolution: int = 64,
        init_from: str | None = None,
        init_particle: int | None = None,
        init_radius: float = 0.5,
        init_steps: int = 200,
        backend: Literal["auto", "kaolin", "torch"] = "auto",
        num_levels: int = 8,
        log2_table_size: int = 16,
        base_resolution: int = 8,
        max_resolution: int = 256,
        hidden: int = 32,
        shading: Shading = "color",
        learn_background: bool = True,
        component_share: float = 0.01,
        sdf_lr: float = 5e-3,
        offset_lr: float = 5e-3,
        grid_lr: float = 1e-2,
        mlp_lr: float = 1e-3,
        background_lr: float = 1e-3,
        penalties: DMTetPenalties | None = None,
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
        if not 0.0 < init_radius < 1.0:
            raise ValueError(f"DMTet: init_radius must be in (0, 1), got {init_radius}")
        self.uses_kaolin = _choose(backend)
        self.grid = TetrahedralGrid(resolution)
        self.component_share = component_share
        self.shape_lrs = (sdf_lr, offset_lr)
        self.register_buffer("points", self.grid.vertices(), persistent=False)
        self.register_buffer("border", self.grid.border(), persistent=False)
        self.sdf = nn.Parameter(init_radius - self.points.norm(dim=-1))
        self.offsets = nn.Parameter(torch.zeros_like(self.points), requires_grad=offset_lr > 0.0)
        self.init_steps = init_steps
        self._has_warned = False
        self.is_started = init_from is not None
        if init_from is not None:
            chosen = seed if init_particle is None else init_particle
            self.start_from(read_start(init_from, chosen, resolution, seed), seed)

    @torch.no_grad()
    def start_from(self, start: Start, seed: int) -> None:
        """Takes over signed distances, and learns the colours."""
        points = self.points.cpu()
        sdf = signed_distance(start.vertices, start.faces, points)
        if not is_closed(start.vertices, start.faces):
            cell, generator = 2.0 / self.grid.resolution, key_generator("sheets", seed)
            sheets = sheet_distance(start.vertices, start.faces, points, cell, generator)
            sdf = torch.maximum(sdf, sheets)
        self.sdf.copy_(sdf)
        self.offsets.zero_()
        generator = key_generator("fit", seed)
        self.color_field.fit(start.points, start.colors, self.init_steps, generator)

    def surface(self) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
        """The triangles where the signed distance is zero, with gradients to it and the offsets.

        The box's own faces are always outside, so that the surface is closed. Where nothing is
        inside, the surface of another signed distance is taken.

        Warns:
            RuntimeWarning: The first time that nothing is inside, naming the distance taken.
        """
        sdf = self._closed()
        vertices = self.points + torch.tanh(self.offsets) / self.grid.resolution
        tetrahedra = self.grid.tetrahedra(self.grid.crossed_cells(sdf.detach() > 0.0))
        kaolin = find_kaolin().kaolin if self.uses_kaolin else None
        if kaolin is not None and len(tetrahedra) > 0:
            return kaolin_surface(kaolin, vertices, tetrahedra, sdf)
        found = marching_tetrahedra(vertices, tetrahedra, sdf)
        return found.vertices, found.faces

    @torch.no_grad()
    def extract_surface(self, resolution: int) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
        """The surface without small components; the grid is its own, whatever ``resolution``.

        Raises:
            ValueError: If the signed distance is the same everywhere.
        """
        vertices, faces = self.surface()
        if len(faces) == 0:
            raise ValueError("no surface: the signed distance is the same everywhere")
        return keep_large_components(vertices, faces, self.component_share)

    def visibility(
        self,
        vertices: Float[Tensor, "V 3"],
        faces: Int[Tensor, "F 3"],
        cameras: Cameras,
        height: int,
        width: int,
    ) -> Int[Tensor, "B H W"]:
        """The triangle that each pixel's centre sees: on CUDA by kaolin where it is installed."""
        kaolin = find_kaolin().kaolin if self.uses_kaolin and vertices.is_cuda else None
        if kaolin is None or len(faces) == 0:
            return super().visibility(vertices, faces, cameras, height, width)
        return kaolin_visibility(kaolin, vertices, faces, cameras, height, width)

    def regularizers(
        self, vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], edges: Edges
    ) -> dict[str, Tensor]:
        """Those of every surface, and ``eikonal``."""
        return super().regularizers(vertices, faces, edges) | {"eikonal": self.eikonal()}

    def eikonal(self) -> Tensor:
        """Mean of ``(|grad sdf| - 1)^2`` over the cells that the surface crosses."""
        sdf = self._closed()
        cells = self.grid.crossed_cells(sdf.detach() > 0.0)
        corners = self.sdf[self.grid.corners(cells)]
        steps = [corners.diff(dim=axis).flatten(1).mean(1) for axis in (1, 2, 3)]
        slope = torch.stack(steps, -1) * (0.5 * self.grid.resolution)
        length = (slope**2).sum(-1).clamp_min(1e-12).sqrt()
        return ((length - 1.0) ** 2).sum() / max(len(cells), 1)

    def parameter_groups(self) -> list[dict[str, object]]:
        """Those of the colours and the background, ``sdf`` and, where they train, ``offsets``."""
        sdf_lr, offset_lr = self.shape_lrs
        groups = super().parameter_groups()
        shape = [{"name": "sdf", "params": [self.sdf], "lr": sdf_lr}]
        if offset_lr > 0.0:
            shape.append({"name": "offsets", "params": [self.offsets], "lr": offset_lr})
        return groups + [group | {"weight_decay": 0.0} for group in shape]

    def _closed(self) -> Float[Tensor, " N"]:
        """The signed distance, outside at the box's faces and inside somewhere."""
        sdf: Tensor = self.sdf
        interior = sdf.detach()[~self.border]
        if len(interior) > 0 and not interior.max() > 0.0:
            level = float(interior.topk(max(1, int(_SEEN_SHARE * len(interior)))).values[-1])
            level -= 1e-6 + 1e-3 * float(interior.max() - interior.min())
            if not self._has_warned:
                warnings.warn(
                    "DMTet: nothing is inside: there is no surface at a signed distance of 0, for "
                    f"the highest is {float(interior.max()):.3g}; going on with the one at "
                    f"{level:.3g}",
                    RuntimeWarning,
                    stacklevel=2,
                )
                self._has_warned = True
            sdf = sdf - level
        outside = -1.0 / self.grid.resolution
        return torch.where(self.border, sdf.clamp_max(outside), sdf)


def _choose(backend: str) -> bool:
    """Whether to use kaolin."""
    if backend == "torch":
        return False
    found = find_kaolin()
    if found.kaolin is None and backend == "kaolin":
        reason = found.reason or f"kaolin is not installed: {install_line()}"
        raise ValueError(f"DMTet: {reason}")
    if found.reason:
        warnings.warn(f"DMTet goes on without kaolin: {found.reason}", RuntimeWarning, stacklevel=3)
    return found.kaolin is not None
