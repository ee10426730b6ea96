"""Pictures of a mesh: ray cast, textured, softly lit, anti-aliased. No gradients."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from redream.assets.surface_colors import SurfaceColors
from redream.cameras import rays
from redream.kernels.raycast import RayCaster
from redream.precision import full_precision
from redream.types import Cameras, TriangleMesh, Views

VERSION = 2  # of the pictures; raise it when they change, so that cached ones are made anew

_MAX_LAYERS = 8  # surfaces seen through one another, at most
_OPAQUE = 0.999  # alpha from which nothing behind is looked for
_RAYS_AT_ONCE = 1 << 18
_NEAR = 1e-3  # in front of the camera, from where a box has a rectangle that holds it


class AssetRenderer:
    """Renders one mesh g(theta_ret, psi) from any cameras.

    Lit materials are shaded by ``ambient + diffuse * max(0, n . l)`` with a soft light that comes
    from above the camera; unlit ones show their colour. Light that a material gives out is added.
    Both sides of a face are seen.

    Args:
        mesh: The mesh.
        ambient: Share of the colour seen without light.
        diffuse: Share that the light adds.
        device: Where to render.
    """

    def __init__(
        self,
        mesh: TriangleMesh,
        ambient: float = 0.65,
        diffuse: float = 0.35,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.ambient, self.diffuse = ambient, diffuse
        self._normals = mesh.corner_normals.to(self.device)
        self._colors = SurfaceColors(mesh, self.device)
        unlit = torch.tensor([m.unlit for m in mesh.materials], device=self.device)
        self._unlit = unlit[mesh.face_materials.to(self.device)]
        corners = mesh.vertices[mesh.faces.long()].to(self.device)
        self._face_normals = functional.normalize(
            torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]),
            dim=-1,
        )
        self._caster = RayCaster(mesh.vertices, mesh.faces, self.device)
        ends = mesh.vertices.new_zeros(2, 3)
        if len(mesh.vertices):
            ends = torch.stack([mesh.vertices.amin(0), mesh.vertices.amax(0)])
        self._box = torch.cartesian_prod(*ends.T).to(self.device)

    @torch.no_grad()
    def render(self, cameras: Cameras, height: int, width: int, supersample: int = 2) -> Views:
        """Renders the mesh.

        Args:
            cameras: ``B`` cameras.
            height: Rows in pixels.
            width: Columns in pixels.
            supersample: Rays along each side of a pixel, averaged by a box filter.

        Returns:
            The views; ``penalties`` is empty.
        """
        fine_size = (height * supersample, width * supersample)
        origins, directions = rays(cameras.to(self.device), *fine_size)
        flat_origins, flat_directions = origins.reshape(-1, 3), directions.reshape(-1, 3)
        fine = flat_directions.new_zeros(len(flat_directions), 8)
        for part in self._aimed(cameras.to(self.device), *fine_size).split(_RAYS_AT_ONCE):
            fine[part] = self._trace(flat_origins[part], flat_directions[part])
        fine = fine.reshape(*directions.shape[:3], 8).permute(0, 3, 1, 2)
        pixels = functional.avg_pool2d(fine, supersample) if supersample > 1 else fine
        rgb, opacity, depth, normal = torch.split(pixels, [3, 1, 1, 3], dim=1)
        length = normal.norm(dim=1, keepdim=True)
        normal = torch.where(length > 0, normal / length.clamp_min(1e-12), normal) * opacity
        return Views(rgb, opacity, depth / opacity.clamp_min(1e-12), normal, {})

    def _aimed(self, cameras: Cameras, height: int, width: int) -> Int[Tensor, " N"]:
        """The rays within the rectangle of a picture that holds the mesh's bounding box.

        All others miss the mesh. From inside the box, or with part of it behind the camera, all
        rays count.
        """
        away = self._box - cameras.c2w[:, None, :3, 3]
        with full_precision(away):
            seen = torch.einsum("bvi,bij->bvj", away, cameras.c2w[:, :3, :3])
        depth = -seen[..., 2]
        half_height = torch.tan(torch.deg2rad(cameras.fovy_deg) / 2.0)[:, None]
        across = 0.5 * width + 0.5 * height * seen[..., 0] / (half_height * depth)
        down = 0.5 * height - 0.5 * height * seen[..., 1] / (half_height * depth)
        is_ahead = depth.amin(1, keepdim=True) > _NEAR

        def within(places: Float[Tensor, "B 8"], num: int) -> Bool[Tensor, "B num"]:
            pixel = torch.arange(num, device=places.device) + 0.5
            low, high = places.amin(1, keepdim=True), places.amax(1, keepdim=True)
            return ~is_ahead | (pixel > low - 1.0) & (pixel < high + 1.0)

        inside = within(down, height)[:, :, None] & within(across, width)[:, None, :]
        return inside.flatten().nonzero()[:, 0]

    def _trace(
        self, origins: Float[Tensor, "N 3"], directions: Float[Tensor, "N 3"]
    ) -> Float[Tensor, "N 8"]:
        """Composites the surfaces along rays, front to back: rgb, opacity, depth, normal."""
        total = torch.zeros(len(origins), 8, device=self.device)
        active = torch.arange(len(origins), device=self.device)
        travelled = torch.zeros(len(origins), device=self.device)
        starts, ahead = origins, directions
        for _ in range(_MAX_LAYERS):
            hits = self._caster.cast(starts, ahead)
            found = hits.face >= 0
            active = active[found]
            if len(active) == 0:
                break
            depth = travelled[active] + hits.depth[found]
            rgb, alpha, normal = self._shade(
                hits.face[found], hits.barycentric[found], directions[active]
            )
            ones = torch.ones_like(alpha)
            weight = alpha * (1.0 - total[active, 3:4])
            total[active] += weight * torch.cat([rgb, ones, depth[:, None], normal], dim=-1)
            travelled[active] = depth + 1e-4
            active = active[total[active, 3] < _OPAQUE]
            ahead = directions[active]
            starts = origins[active] + travelled[active, None] * ahead
        return total

    def albedo(
        self, face: Int[Tensor, " N"], barycentric: Float[Tensor, "N 3"]
    ) -> Float[Tensor, "N 4"]:
        """The surface's own RGBA colour at points on triangles, without light; it may glow."""
        color = self._colors.base(face, barycentric)
        rgb = self._colors.glowing(color[:, :3], face, barycentric)
        return torch.cat([rgb, color[:, 3:]], dim=1)

    def _shade(
        self,
        face: Int[Tensor, " N"],
        barycentric: Float[Tensor, "N 3"],
        directions: Float[Tensor, "N 3"],
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 1"], Float[Tensor, "N 3"]]:
        """Colour, alpha and unit normal of the surface at hits."""
        color = self._colors.base(face, barycentric)
        flat = self._face_normals[face]
        with full_precision(barycentric):
            smooth = torch.einsum("nk,nkc->nc", barycentric, self._normals[face])
        normal = functional.normalize(smooth, dim=-1)
        normal = torch.where(normal.norm(dim=-1, keepdim=True) > 0.5, normal, flat)
        normal = normal * torch.where((normal * flat).sum(-1, keepdim=True) < 0, -1.0, 1.0)
        normal = normal * torch.where((flat * directions).sum(-1, keepdim=True) > 0, -1.0, 1.0)
        above = torch.tensor([0.0, 0.6, 0.0], device=self.device)
        light = functional.normalize(above - directions, dim=-1)
        lit = self.ambient + self.diffuse * (normal * light).sum(-1, keepdim=True).clamp_min(0.0)
        shade = torch.where(self._unlit[face][:, None], 1.0, lit)
        rgb = (color[:, :3] * shade).clamp(0.0, 1.0)
        return self._colors.glowing(rgb, face, barycentric), color[:, 3:], normal
