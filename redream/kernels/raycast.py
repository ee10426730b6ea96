"""First-hit ray casting against a triangle mesh, on CPU and CUDA from one source."""

from typing import NamedTuple

import torch
import warp as wp

from redream.kernels.launch import launch, triangles


class RayHits(NamedTuple):
    """What each ray meets first.

    Attributes:
        face: ``N`` int64, index of the triangle, -1 for a miss.
        barycentric: ``N 3``, weights of the triangle's three corners, 0 for a miss.
        depth: ``N``, distance along the ray in units of its direction's length, inf for a miss.
    """

    face: torch.Tensor
    barycentric: torch.Tensor
    depth: torch.Tensor


@wp.kernel
def _cast_kernel(
    mesh: wp.uint64,
    origins: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    directions: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    face: wp.array(dtype=wp.int64),  # type: ignore[valid-type]
    barycentric: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    depth: wp.array(dtype=wp.float32),  # type: ignore[valid-type]
) -> None:
    i = wp.tid()
    length = wp.length(directions[i])
    if length == 0.0:
        return
    hit = wp.mesh_query_ray(mesh, origins[i], directions[i] / length, 1.0e30)
    if hit.result:  # type: ignore[attr-defined]
        face[i] = wp.int64(hit.face)  # type: ignore[attr-defined]
        barycentric[i] = wp.vec3(hit.u, hit.v, 1.0 - hit.u - hit.v)  # type: ignore[attr-defined]
        depth[i] = hit.t / length  # type: ignore[attr-defined]


@wp.kernel
def _blocked_kernel(
    mesh: wp.uint64,
    origins: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    directions: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    distances: wp.array(dtype=wp.float32),  # type: ignore[valid-type]
    blocked: wp.array(dtype=wp.bool),  # type: ignore[valid-type]
) -> None:
    i = wp.tid()
    length = wp.length(directions[i])
    if length == 0.0:
        return
    blocked[i] = wp.mesh_query_ray_anyhit(
        mesh, origins[i], directions[i] / length, distances[i] * length
    )


class RayCaster:
    """A triangle mesh in a bounding volume hierarchy, ready to be hit by rays.

    Args:
        vertices: ``V 3`` float positions.
        faces: ``F 3`` integer corner indices. Both sides of a triangle are hit.
        device: Where to cast, for example ``"cpu"`` or ``"cuda"``.
    """

    def __init__(
        self, vertices: torch.Tensor, faces: torch.Tensor, device: torch.device | str = "cpu"
    ) -> None:
        self.device = torch.device(device)
        self._mesh: wp.Mesh | None = None
        if faces.numel() > 0:
            self._mesh = triangles(vertices.detach().to(self.device), faces)

    def cast(self, origins: torch.Tensor, directions: torch.Tensor) -> RayHits:
        """Finds the first triangle each ray meets.

        Args:
            origins: ``N 3`` starting points.
            directions: ``N 3``, of any non-zero length.

        Returns:
            The hits, on the caster's device.
        """
        num = origins.shape[0]
        face = torch.full((num,), -1, dtype=torch.int64, device=self.device)
        barycentric = torch.zeros(num, 3, device=self.device)
        depth = torch.full((num,), torch.inf, device=self.device)
        if num > 0 and self._mesh is not None:
            starts = origins.detach().to(self.device, torch.float32).contiguous()
            rays = directions.detach().to(self.device, torch.float32).contiguous()
            launch(_cast_kernel, num, self._mesh.id, starts, rays, face, barycentric, depth)
        return RayHits(face, barycentric, depth)

    def blocked(
        self, origins: torch.Tensor, directions: torch.Tensor, distances: torch.Tensor
    ) -> torch.Tensor:
        """Finds whether a ray meets anything before a distance, whatever it is.

        The same as ``cast(...).depth < distances`` in half the time: a ray looks at nothing beyond.

        Args:
            origins: ``N 3`` starting points.
            directions: ``N 3``, of any non-zero length.
            distances: ``N``, in units of the direction's length.

        Returns:
            ``N`` bool, on the caster's device.
        """
        num = origins.shape[0]
        blocked = torch.zeros(num, dtype=torch.bool, device=self.device)
        if num > 0 and self._mesh is not None:
            starts, rays, ends = (
                each.detach().to(self.device, torch.float32).contiguous()
                for each in (origins, directions, distances)
            )
            launch(_blocked_kernel, num, self._mesh.id, starts, rays, ends, blocked)
        return blocked


def cast_rays_reference(
    vertices: torch.Tensor,
    faces: torch.Tensor,
    origins: torch.Tensor,
    directions: torch.Tensor,
    chunk: int = 1024,
) -> RayHits:
    """Casts rays by trying every triangle (Moller and Trumbore, 1997).

    Args:
        vertices: ``V 3`` float positions.
        faces: ``F 3`` integer corner indices.
        origins: ``N 3`` starting points.
        directions: ``N 3``, of any non-zero length.
        chunk: Rays tried at once.

    Returns:
        The same as :meth:`RayCaster.cast`.
    """
    num = origins.shape[0]
    face = torch.full((num,), -1, dtype=torch.int64, device=origins.device)
    barycentric = origins.new_zeros(num, 3)
    depth = origins.new_full((num,), torch.inf)
    if faces.shape[0] == 0:
        return RayHits(face, barycentric, depth)
    a, b, c = vertices[faces.long()].unbind(1)
    edge_b, edge_c = b - a, c - a
    for start in range(0, num, chunk):
        rows = slice(start, start + chunk)
        ray = directions[rows, None]
        to_ray = origins[rows, None] - a
        cross_c = torch.linalg.cross(ray, edge_c[None])
        cross_b = torch.linalg.cross(to_ray, edge_b[None].expand_as(to_ray))
        determinant = (edge_b * cross_c).sum(-1)
        v = (to_ray * cross_c).sum(-1) / determinant
        w = (ray * cross_b).sum(-1) / determinant
        t = (edge_c * cross_b).sum(-1) / determinant
        hit = (determinant != 0) & (v >= 0) & (w >= 0) & (v + w <= 1) & (t >= 0)
        nearest, which = torch.where(hit, t, torch.inf).min(dim=1)
        found = torch.isfinite(nearest)
        v, w = (weight.gather(1, which[:, None])[:, 0] for weight in (v, w))
        depth[rows] = nearest
        face[rows] = torch.where(found, which, -1)
        barycentric[rows] = torch.stack([1 - v - w, v, w], -1) * found[:, None]
    return RayHits(face, torch.nan_to_num(barycentric), depth)
