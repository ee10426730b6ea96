"""A ReDream representation with a renderer of its own: a grid of voxels."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import grid_sample, normalize, softplus

from redream.cameras import rays
from redream.meshes import extract_isosurface
from redream.representations import Representation
from redream.types import Cameras, Views, key_generator


class VoxelGrid(Representation):
    """Density and colour at the corners of voxels, trilinear between them.

    Args:
        seed: Seed of the initial colours. A run makes particle i as ``VoxelGrid(its seed)``.
        resolution: Corners along each axis of the box [-1, 1]^3.
        num_steps: Samples along a ray.
        blob_radius: Radius of the ball that it starts as.
        lr: Learning rate.
    """

    is_soft = True  # a view shows a mixture of what lies around a surface point

    def __init__(
        self,
        seed: int = 0,
        resolution: int = 48,
        num_steps: int = 64,
        blob_radius: float = 0.5,
        lr: float = 5e-2,
    ) -> None:
        super().__init__()
        if resolution < 2 or num_steps < 1:
            raise ValueError(f"VoxelGrid: too small, {resolution} corners and {num_steps} steps")
        axis = torch.linspace(-1.0, 1.0, resolution)
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")  # grid_sample has x last
        blob = 10.0 * (1.0 - torch.stack([x, y, z]).norm(dim=0) / blob_radius)
        color = 0.1 * torch.randn(3, *blob.shape, generator=key_generator("voxel grid", seed))
        self.grid = nn.Parameter(torch.cat([blob[None], color]))
        self.num_steps, self.lr = num_steps, lr

    def field(self, points: Float[Tensor, "N 3"]) -> tuple[Float[Tensor, " N"], Tensor]:
        """Density and colour at points; nothing is outside of the box."""
        found = grid_sample(self.grid[None], points.view(1, 1, 1, -1, 3), align_corners=True)
        density, color = found.view(4, -1).split([1, 3])
        inside = (points.abs() <= 1.0).all(-1)
        return softplus(density[0]) * inside, color.sigmoid().T

    def render(self, cameras: Cameras, height: int, width: int) -> Views:
        """Marches evenly through the ball around the box; see :meth:`Representation.render`."""
        origins, directions = (part.reshape(-1, 1, 3) for part in rays(cameras, height, width))
        near = -(origins * directions).sum(-1) - 3.0**0.5
        step = 2.0 * 3.0**0.5 / self.num_steps
        along = near + step * (torch.arange(self.num_steps, device=near.device) + 0.5)
        points = origins + along[..., None] * directions
        density, color = self.field(points.reshape(-1, 3))
        alpha = 1.0 - (-density.view(along.shape) * step).exp()
        passed = torch.cat([torch.ones_like(near), (1.0 - alpha + 1e-10).cumprod(1)[:, :-1]], 1)
        weight = alpha * passed
        opacity = weight.sum(1, keepdim=True)
        rgb = (weight[..., None] * color.view(*along.shape, 3)).sum(1)
        depth = (weight * along).sum(1, keepdim=True) / opacity.clamp_min(1e-6)
        depth = torch.where(opacity > 1e-2, depth, 0.0)

        def picture(values: Float[Tensor, "R C"]) -> Float[Tensor, "B C H W"]:
            return values.view(cameras.num, height, width, -1).permute(0, 3, 1, 2)

        normal = opacity * self._normals(origins[:, 0] + depth.detach() * directions[:, 0])
        penalties = {"sparsity": opacity.mean()} if self.training else {}
        return Views(*map(picture, (rgb, opacity, depth, normal)), penalties)

    def _normals(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Unit normals: against the slope of density, without gradients."""
        with torch.no_grad():
            steps = 0.02 * torch.eye(3, device=points.device)
            slope = [self.field(points + s)[0] - self.field(points - s)[0] for s in steps]
            return -normalize(torch.stack(slope, -1), dim=-1, eps=1e-6)

    @torch.no_grad()
    def extract_surface(self, resolution: int) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
        """Marching cubes where a voxel is half opaque."""
        axis = (torch.arange(resolution, device=self.grid.device) + 0.5) * (2.0 / resolution) - 1.0
        cells = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
        density = self.field(cells.view(-1, 3))[0].view(cells.shape[:3])
        vertices, faces = extract_isosurface(density.cpu(), 5.0)
        return vertices.to(self.grid.device), faces.to(self.grid.device)

    @torch.no_grad()
    def colors(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """The field's colour."""
        return self.field(points)[1]

    def parameter_groups(self) -> list[dict[str, object]]:
        """One group, ``grid``."""
        return [{"name": "grid", "params": [self.grid], "lr": self.lr}]
