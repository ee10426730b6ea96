"""Gaussian splatting in plain PyTorch, in the precision of its arguments: what the kernels compute.

Every pixel looks at every splat, so that memory grows with their product.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from redream.kernels.splats import MAX_ALPHA, MIN_TRANSMITTANCE, Blend, as_pictures
from redream.kernels.splats_projection import (
    BLUR,
    CUTOFF,
    MARGIN,
    MIN_ALPHA,
    NEAR,
    NUM_HARMONICS,
    Footprints,
    Gaussians,
    clamped_colors,
    pinholes,
    require_harmonics,
    rotation_matrices,
    viewing_depths,
)
from redream.types import Cameras

# Normalisation of the real spherical harmonics, by degree.
_C0 = 0.28209479177387814
_C1 = 0.4886025119029199
_C20 = 1.0925484305920792
_C21 = 0.31539156525252005
_C22 = 0.5462742152960396
_C30 = 0.5900435899266435
_C31 = 2.890611442640554
_C32 = 0.4570457994644658
_C33 = 0.3731763325901154
_C34 = 1.445305721320277


def splat_reference(splats: Gaussians, cameras: Cameras, height: int, width: int) -> Blend:
    """The same as :func:`redream.kernels.splats.splat`."""
    footprints = project_reference(splats, cameras, height, width)
    rows = torch.arange(height, dtype=splats.means.dtype, device=splats.means.device) + 0.5
    columns = torch.arange(width, dtype=splats.means.dtype, device=splats.means.device) + 0.5
    pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).reshape(-1, 1, 2)
    views = []
    for centres, conics, features, depths in zip(*footprints, strict=True):
        views.append(blend_reference(pixels, centres, conics, features, depths, splats.opacities))
    sums, left = (torch.stack(parts) for parts in zip(*views, strict=True))
    return as_pictures(sums.unflatten(1, (height, width)), left.unflatten(1, (height, width)))


def blend_reference(
    pixels: Float[Tensor, "P 1 2"],
    centres: Float[Tensor, "N 2"],
    conics: Float[Tensor, "N 3"],
    features: Float[Tensor, "N 7"],
    depths: Float[Tensor, " N"],
    opacities: Float[Tensor, " N"],
) -> tuple[Float[Tensor, "P 7"], Float[Tensor, " P"]]:
    """What pixels see of one view's footprints: summed features, and the transmittance left."""
    order = depths.argsort(stable=True)
    centres, conics, features = centres[order], conics[order], features[order]
    dx, dy = (pixels - centres).unbind(-1)
    xx, xy, yy = conics.unbind(-1)
    far = 0.5 * (xx * dx * dx + yy * dy * dy) + xy * dx * dy
    alpha = (opacities[order] * torch.exp(-far)).clamp(max=MAX_ALPHA)
    is_seen = (far <= 0.5 * CUTOFF**2) & (alpha >= MIN_ALPHA) & (conics[:, 0] > 0.0)
    alpha = torch.where(is_seen, alpha, 0.0)
    left = (1.0 - alpha).cumprod(1)
    goes_on = left.detach() >= MIN_TRANSMITTANCE
    alpha = torch.where(goes_on, alpha, 0.0)
    left = (1.0 - alpha).cumprod(1)
    before = torch.cat([torch.ones_like(left[:, :1]), left[:, :-1]], 1)
    return (before * alpha) @ features, left[:, -1]


def project_reference(splats: Gaussians, cameras: Cameras, height: int, width: int) -> Footprints:
    """The same as :func:`redream.kernels.splats_projection.project`."""
    require_harmonics(splats.harmonics)
    poses = pinholes(cameras, height, width)
    turn = poses.world_to_camera[:, :3, :3]
    seen = torch.einsum("bij,nj->bni", turn, splats.means)
    seen = seen + poses.world_to_camera[:, None, :3, 3]
    depth = -seen[..., 2]
    in_front = depth.detach() > NEAR
    depth = torch.where(in_front, depth, 1.0)
    focal, middle = poses.pinholes[:, None, :1], poses.pinholes[:, None, 1:]
    place = torch.stack([seen[..., 0], -seen[..., 1]], -1) / depth[..., None]
    limit = MARGIN * middle / focal
    near = torch.minimum(torch.maximum(place, -limit), limit)
    ones = torch.ones_like(depth)
    zeros = torch.zeros_like(depth)
    jacobian = torch.stack(
        [
            torch.stack([ones, zeros, near[..., 0]], -1),
            torch.stack([zeros, -ones, near[..., 1]], -1),
        ],
        -2,
    )
    jacobian = (focal / depth[..., None])[..., None] * jacobian
    axes = rotation_matrices(splats.rotations)
    halves = torch.einsum("bnij,bjk,nkl,nl->bnil", jacobian, turn, axes, splats.scales)
    blur = BLUR * torch.eye(2, dtype=depth.dtype, device=depth.device)
    inverse = torch.linalg.inv(halves @ halves.transpose(-1, -2) + blur)
    conics = torch.stack([inverse[..., 0, 0], inverse[..., 0, 1], inverse[..., 1, 1]], -1)
    away = splats.means[None] - poses.eyes[:, None]
    distance = away.norm(dim=-1, keepdim=True)
    basis = harmonics_basis(away / distance, splats.harmonics.shape[1])
    color = torch.einsum("bnk,nkc->bnc", basis, splats.harmonics) + 0.5
    shortest = splats.scales.argmin(1)
    normal = axes.gather(2, shortest[:, None, None].expand(-1, 3, 1))[..., 0].expand_as(away)
    normal = torch.where((normal * away).sum(-1, keepdim=True) > 0.0, -normal, normal)
    return Footprints(
        torch.where(in_front[..., None], focal * place + middle, 0.0),
        torch.where(in_front[..., None], conics, 0.0),
        clamped_colors(torch.cat([color, distance, normal], -1)),
        viewing_depths(splats.means, poses),
    )


def harmonics_basis(
    directions: Float[Tensor, "*S 3"], num: int = NUM_HARMONICS[-1]
) -> Float[Tensor, "*S K"]:
    """The first ``num`` real spherical harmonics at unit directions, with the files' signs."""
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    basis = [
        torch.full_like(x, _C0),
        -_C1 * y,
        _C1 * z,
        -_C1 * x,
        _C20 * x * y,
        -_C20 * y * z,
        _C21 * (2 * zz - xx - yy),
        -_C20 * x * z,
        _C22 * (xx - yy),
        -_C30 * y * (3 * xx - yy),
        _C31 * x * y * z,
        -_C32 * y * (4 * zz - xx - yy),
        _C33 * z * (2 * zz - 3 * xx - 3 * yy),
        -_C32 * x * (4 * zz - xx - yy),
        _C34 * z * (xx - yy),
        -_C30 * x * (xx - 3 * yy),
    ]
    return torch.stack(basis[:num], -1)
