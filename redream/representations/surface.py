"""What Mesh, DMTet and their kind share: triangles rendered with a colour field on them."""

from abc import abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from redream.kernels.fragments import Fragments, cast_visibility, fragments
from redream.kernels.hash_grid import HashGrid
from redream.kernels.outlines import Edges, find_edges
from redream.kernels.raycast import RayCaster
from redream.kernels.silhouettes import blend, find_crossings
from redream.meshes.triangles import area_normals, vertex_normals
from redream.precision import full_precision
from redream.representations.background import DirectionBackground
from redream.representations.base import Representation, Shading
from redream.representations.color_field import ColorField
from redream.representations.surface_regularizers import laplacian, normal_consistency
from redream.types import Cameras, Views

_TOWARD_CAMERA = (0.5, 0.5, 1.0)  # the normal that looks at the camera, as a colour
_AMBIENT, _DIFFUSE = 0.65, 0.35  # the light of the references


class SurfaceRepresentation(Representation):
    """Triangles with a colour field, rendered with gradients to both.

    Subclasses give the triangles. While ``training``, views carry the penalties
    ``normal_consistency`` and ``laplacian`` (see
    :mod:`redream.representations.surface_regularizers`).

    Args:
        generator: Source of the initial weights.
        num_levels: Levels of the colour field's hash grid.
        log2_table_size: log2 of the most rows of a level.
        base_resolution: Cells along each axis of the coarsest level.
        max_resolution: Cells along each axis of the finest level.
        hidden: Width of the hidden layers.
        shading: What the views' ``rgb`` shows: the colour field, the same with a soft light from
            above the camera, or the normals as colours ``(n + 1) / 2``, by which a geometry is
            distilled: in the world's frame, or in the camera's before a lilac background, as the
            normal maps that models have seen.
        learn_background: Whether to learn a background by direction; white otherwise.
        grid_lr: Learning rate of the hash grid.
        mlp_lr: Learning rate of the perceptron.
        background_lr: Learning rate of the background.
    """

    def __init__(
        self,
        generator: torch.Generator,
        num_levels: int,
        log2_table_size: int,
        base_resolution: int,
        max_resolution: int,
        hidden: int,
        shading: Shading,
        learn_background: bool,
        grid_lr: float,
        mlp_lr: float,
        background_lr: float,
    ) -> None:
        super().__init__()
        grid = HashGrid(num_levels, log2_table_size, base_resolution, max_resolution, generator)
        self.color_field = ColorField(grid, hidden, generator)
        self.backdrop = DirectionBackground(hidden, generator) if learn_background else None
        self.shading: Shading = shading
        self.learning_rates = (grid_lr, mlp_lr, background_lr)

    @abstractmethod
    def surface(self) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
        """The triangles, with gradients to the parameters that shape them."""

    def render(self, cameras: Cameras, height: int, width: int) -> Views:
        """Renders what the centres of the pixels see, outlines anti-aliased.

        Args:
            cameras: ``B`` cameras on the surface's device.
            height: Rows in pixels.
            width: Columns in pixels.

        Returns:
            The views. Normals are smooth and face the camera. Penalties are empty unless
            ``training``.
        """
        vertices, faces = self.surface()
        edges = find_edges(faces)
        seen = self.visibility(vertices.detach(), faces, cameras, height, width)
        found = fragments(vertices, faces, cameras, seen)
        normal = facing_normals(vertices, faces, found)
        ones = torch.ones_like(found.depth)[:, None]
        to_world = cameras.c2w[found.pixel.div(height * width, rounding_mode="floor"), :3, :3]
        seen_there = torch.cat(
            [self._shade(found, normal, to_world), ones, found.depth[:, None], normal], dim=-1
        )
        image = seen_there.new_zeros(seen.numel(), 8).index_copy(0, found.pixel, seen_there)
        if len(faces) > 0:
            depth = found.depth.new_full((seen.numel(),), torch.inf)
            depth[found.pixel] = found.depth.detach()
            caster = RayCaster(vertices, faces, vertices.device)
            image = blend(
                image, find_crossings(vertices, edges, cameras, depth.view_as(seen), caster)
            )
        pixels = image.view(*seen.shape, 8).permute(0, 3, 1, 2)
        rgb, opacity, depths, normals = pixels.split([3, 1, 1, 3], dim=1)
        shown = opacity > 1e-2
        return Views(
            rgb=rgb,
            opacity=opacity,
            depth=torch.where(shown, depths / torch.where(shown, opacity, 1.0), 0.0),
            normal=opacity * normalize(normals, dim=1, eps=1e-8),
            penalties=self.regularizers(vertices, faces, edges) if self.training else {},
        )

    def visibility(
        self,
        vertices: Float[Tensor, "V 3"],
        faces: Int[Tensor, "F 3"],
        cameras: Cameras,
        height: int,
        width: int,
    ) -> Int[Tensor, "B H W"]:
        """The triangle that each pixel's centre sees, -1 for none; by ray casting here."""
        return cast_visibility(vertices, faces, cameras, height, width)

    def regularizers(
        self, vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], edges: Edges
    ) -> dict[str, Tensor]:
        """The surface's regularisers by name, unweighted."""
        return {
            "normal_consistency": normal_consistency(vertices, faces, edges),
            "laplacian": laplacian(vertices, edges),
        }

    @torch.no_grad()
    def colors(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Colour in [0, 1] at points, without light and without gradients."""
        return torch.cat([self.color_field(part) for part in points.split(2**16)])

    def background(self, cameras: Cameras, height: int, width: int) -> Float[Tensor, "B 3 H W"]:
        """The learned background in [0, 1]; where none is learned white, or flat for normals."""
        if self.backdrop is None and self.shading == "camera_normal":
            lilac = cameras.c2w.new_tensor(_TOWARD_CAMERA).view(1, 3, 1, 1)
            return lilac.expand(cameras.num, 3, height, width)
        return super().background(cameras, height, width)

    def parameter_groups(self) -> list[dict[str, object]]:
        """Optimiser groups ``grid``, ``mlp`` and, where one is learned, ``background``."""
        grid_lr, mlp_lr, background_lr = self.learning_rates
        field = self.color_field
        return [
            {"name": "grid", "params": list(field.grid.parameters()), "lr": grid_lr},
            {"name": "mlp", "params": list(field.mlp.parameters()), "lr": mlp_lr},
            *self.background_groups(background_lr),
        ]

    def _shade(
        self,
        found: Fragments,
        normal: Float[Tensor, "N 3"],
        to_world: Float[Tensor, "N 3 3"],
    ) -> Float[Tensor, "N 3"]:
        """What ``rgb`` shows at the points seen, in [0, 1]."""
        if self.shading == "camera_normal":
            with full_precision(normal):
                return 0.5 * (to_world.transpose(1, 2) @ normal[..., None])[..., 0] + 0.5
        if self.shading == "normal":
            return 0.5 * normal + 0.5
        color: Tensor = self.color_field(found.points)
        if self.shading == "lit":
            above = color.new_tensor([0.0, 0.6, 0.0])
            light = normalize(above - found.directions, dim=-1)
            shade = _AMBIENT + _DIFFUSE * (normal * light).sum(-1, keepdim=True).clamp_min(0.0)
            return color * shade
        return color


def facing_normals(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], found: Fragments
) -> Float[Tensor, "N 3"]:
    """Smooth unit normals at the points seen, turned to the side that the camera sees."""
    smooth = normalize(found.interpolate(faces, vertex_normals(vertices, faces)), dim=-1, eps=1e-8)
    flat = area_normals(vertices.detach(), faces)[found.face]
    away = (flat * found.directions).sum(-1, keepdim=True) > 0.0
    return torch.where(away, -smooth, smooth)
