"""Projection of Gaussian splats to the picture, forward and backward.

A splat is a Gaussian ``N(mean, R diag(scale)^2 R^T)`` with an opacity and a colour that depends on
the direction by real spherical harmonics (Kerbl et al., 2023). A perspective camera is linear
about a splat's mean (EWA; Zwicker et al., 2001), so that the splat's footprint in the picture is a
Gaussian, too: covariance ``J W Sigma W^T J^T`` with ``J`` the projection's Jacobian, widened by
``BLUR`` square pixels so that no footprint falls between the pixels' centres.

The adjoint is Warp's own: a thread touches one splat in one view, without loops.
"""

# ruff: noqa: UP018  (float(0.0) is how Warp declares a variable)
import math
from typing import Any, NamedTuple, no_type_check

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from redream.kernels.launch import launch, launch_adjoint
from redream.precision import full_precision
from redream.types import Cameras

wp.set_module_options({"enable_backward": True})

NEAR = 0.05
"""World units in front of the camera below which a splat is left out."""
BLUR = 0.3
"""Square pixels that widen every footprint, as in the method's first code and its viewers."""
CUTOFF = 3.0
"""Standard deviations beyond which a splat is not seen."""
MIN_ALPHA = 1.0 / 255.0
"""Opacity at a pixel below which a splat is not seen there."""
MARGIN = 1.3
"""Tangents beyond this multiple of the picture's edge are linearised at it: farther out the
linear camera would stretch a footprint over the whole picture."""
NUM_FEATURES = 7
"""Colour, distance along the ray, normal."""
NUM_HARMONICS = (1, 4, 9, 16)

_NEAR = wp.constant(NEAR)
_BLUR = wp.constant(BLUR)
_MARGIN = wp.constant(MARGIN)

Features = wp.types.vector(length=NUM_FEATURES, dtype=float)

# Real spherical harmonics with the signs of the field's files.
_C0 = wp.constant(0.28209479177387814)
_C1 = wp.constant(0.4886025119029199)
_C20 = wp.constant(1.0925484305920792)
_C21 = wp.constant(0.31539156525252005)
_C22 = wp.constant(0.5462742152960396)
_C30 = wp.constant(0.5900435899266435)
_C31 = wp.constant(2.890611442640554)
_C32 = wp.constant(0.4570457994644658)
_C33 = wp.constant(0.3731763325901154)
_C34 = wp.constant(1.445305721320277)


class Gaussians(NamedTuple):
    """``N`` splats in the world.

    Attributes:
        means: Centres.
        scales: Standard deviations along the splat's own axes, positive, world units.
        rotations: Quaternions ``w x y z`` from the splat's axes to the world's, of any length.
        opacities: Opacity at the centre, in [0, 1].
        harmonics: Spherical harmonics of the colour, degree 0 to 3 (``K`` = 1, 4, 9 or 16); the
            colour is their sum + 0.5.
    """

    means: Float[Tensor, "N 3"]
    scales: Float[Tensor, "N 3"]
    rotations: Float[Tensor, "N 4"]
    opacities: Float[Tensor, " N"]
    harmonics: Float[Tensor, "N K 3"]


class Footprints(NamedTuple):
    """``N`` splats in ``B`` pictures.

    Attributes:
        centres: Column and row of the centre in pixels; a pixel's centre is at + 0.5.
        conics: Inverse covariance ``xx xy yy`` in the picture; zero for what is not in front of
            the camera.
        features: Colour in [0, 1], distance of the mean from the camera, and the shortest axis,
            turned toward the camera.
        depths: Depth of the mean along the viewing axis, by which splats are sorted.
    """

    centres: Float[Tensor, "B N 2"]
    conics: Float[Tensor, "B N 3"]
    features: Float[Tensor, "B N 7"]
    depths: Float[Tensor, "B N"]


@wp.func
@no_type_check
def _axes(rotation: wp.vec4) -> wp.mat33:
    q = wp.normalize(rotation)
    w = q[0]
    x = q[1]
    y = q[2]
    z = q[3]
    return wp.mat33(
        1.0 - 2.0 * (y * y + z * z),
        2.0 * (x * y - w * z),
        2.0 * (x * z + w * y),
        2.0 * (x * y + w * z),
        1.0 - 2.0 * (x * x + z * z),
        2.0 * (y * z - w * x),
        2.0 * (x * z - w * y),
        2.0 * (y * z + w * x),
        1.0 - 2.0 * (x * x + y * y),
    )


@wp.kernel
@no_type_check
def _footprint_kernel(
    means: wp.array[wp.vec3],
    scales: wp.array[wp.vec3],
    rotations: wp.array[wp.vec4],
    world_to_camera: wp.array[wp.mat44],
    pinholes: wp.array[wp.vec3],
    centres: wp.array2d[wp.vec2],
    conics: wp.array2d[wp.vec3],
) -> None:
    view, i = wp.tid()
    pose = world_to_camera[view]
    mean = means[i]
    seen = wp.transform_point(pose, mean)
    depth = -seen[2]
    if depth > _NEAR:
        focal = pinholes[view][0]
        middle = wp.vec2(pinholes[view][1], pinholes[view][2])
        x = seen[0] / depth
        y = -seen[1] / depth
        centres[view, i] = wp.vec2(focal * x + middle[0], focal * y + middle[1])
        limit_x = _MARGIN * middle[0] / focal
        limit_y = _MARGIN * middle[1] / focal
        near_x = wp.clamp(x, -limit_x, limit_x)
        near_y = wp.clamp(y, -limit_y, limit_y)
        turn = wp.mat33(
            pose[0, 0], pose[0, 1], pose[0, 2],
            pose[1, 0], pose[1, 1], pose[1, 2],
            pose[2, 0], pose[2, 1], pose[2, 2],
        )  # fmt: skip
        # Rows of J W: how column and row change with the world.
        a = wp.transpose(turn) * (focal / depth * wp.vec3(1.0, 0.0, near_x))
        b = wp.transpose(turn) * (focal / depth * wp.vec3(0.0, -1.0, near_y))
        axes = wp.transpose(_axes(rotations[i]))
        u = wp.cw_mul(scales[i], axes * a)
        v = wp.cw_mul(scales[i], axes * b)
        xx = wp.dot(u, u) + _BLUR
        xy = wp.dot(u, v)
        yy = wp.dot(v, v) + _BLUR
        # |u|^2 |v|^2 - (u.v)^2 as a cross product: a needle's would cancel to rounding errors.
        area = wp.cross(u, v)
        det = wp.dot(area, area) + _BLUR * (wp.dot(u, u) + wp.dot(v, v)) + _BLUR * _BLUR
        conics[view, i] = wp.vec3(yy / det, -xy / det, xx / det)


@wp.kernel
@no_type_check
def _feature_kernel(
    means: wp.array[wp.vec3],
    scales: wp.array[wp.vec3],
    rotations: wp.array[wp.vec4],
    harmonics: wp.array2d[wp.vec3],
    eyes: wp.array[wp.vec3],
    features: wp.array2d[Features],
) -> None:
    view, i = wp.tid()
    away = means[i] - eyes[view]
    distance = wp.length(away)
    d = away / wp.max(distance, 1e-12)
    x = d[0]
    y = d[1]
    z = d[2]
    color = _C0 * harmonics[i, 0]
    if harmonics.shape[1] > 1:
        color += _C1 * (z * harmonics[i, 2] - y * harmonics[i, 1] - x * harmonics[i, 3])
    if harmonics.shape[1] > 4:
        color += _C20 * (
            x * y * harmonics[i, 4] - y * z * harmonics[i, 5] - x * z * harmonics[i, 7]
        )
        color += _C21 * (2.0 * z * z - x * x - y * y) * harmonics[i, 6]
        color += _C22 * (x * x - y * y) * harmonics[i, 8]
    if harmonics.shape[1] > 9:
        color -= _C30 * y * (3.0 * x * x - y * y) * harmonics[i, 9]
        color += _C31 * x * y * z * harmonics[i, 10]
        color -= _C32 * y * (4.0 * z * z - x * x - y * y) * harmonics[i, 11]
        color += _C33 * z * (2.0 * z * z - 3.0 * x * x - 3.0 * y * y) * harmonics[i, 12]
        color -= _C32 * x * (4.0 * z * z - x * x - y * y) * harmonics[i, 13]
        color += _C34 * z * (x * x - y * y) * harmonics[i, 14]
        color -= _C30 * x * (x * x - 3.0 * y * y) * harmonics[i, 15]
    axes = _axes(rotations[i])
    scale = scales[i]
    shortest = int(0)
    if scale[1] < scale[0]:
        shortest = 1
    if scale[2] < scale[shortest]:
        shortest = 2
    normal = wp.vec3(axes[0, shortest], axes[1, shortest], axes[2, shortest])
    if wp.dot(normal, away) > 0.0:
        normal = -normal
    features[view, i] = Features(
        color[0] + 0.5, color[1] + 0.5, color[2] + 0.5, distance, normal[0], normal[1], normal[2]
    )


class _ProjectFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        means: Tensor,
        scales: Tensor,
        rotations: Tensor,
        harmonics: Tensor,
        world_to_camera: Tensor,
        pinholes: Tensor,
        eyes: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        inputs = [x.contiguous() for x in (means, scales, rotations, harmonics)]
        cameras = [x.contiguous() for x in (world_to_camera, pinholes, eyes)]
        size = (len(eyes), len(means))
        centres, conics = means.new_zeros(*size, 2), means.new_zeros(*size, 3)
        features = means.new_empty(*size, NUM_FEATURES)
        launch(_footprint_kernel, size, *inputs[:3], *cameras[:2], centres, conics)
        launch(_feature_kernel, size, *inputs, cameras[2], features)
        ctx.save_for_backward(*inputs, *cameras)
        return centres, conics, features

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        inputs, cameras = ctx.saved_tensors[:4], ctx.saved_tensors[4:]
        size = (len(cameras[2]), len(inputs[0]))
        out = [torch.zeros_like(x) for x in inputs]
        centres, conics, features = (grad.contiguous() for grad in grads)
        launch_adjoint(
            _footprint_kernel,
            size,
            (*inputs[:3], *cameras[:2], torch.empty_like(centres), torch.empty_like(conics)),
            (*out[:3], None, None, centres, conics),
        )
        launch_adjoint(
            _feature_kernel,
            size,
            (*inputs, cameras[2], torch.empty_like(features)),
            (*out, None, features),
        )
        return (*out, None, None, None)


class _ClampedColor(torch.autograd.Function):
    """Clamps to [0, 1]; a colour beyond still learns from gradients that lead back."""

    @staticmethod
    def forward(ctx: Any, color: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(color)
        return color.clamp(0.0, 1.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ANN401
        (color,) = ctx.saved_tensors
        leads_out = ((color < 0.0) & (grad > 0.0)) | ((color > 1.0) & (grad < 0.0))
        return torch.where(leads_out, 0.0, grad)


class Pinholes(NamedTuple):
    """Cameras as projection wants them.

    Attributes:
        world_to_camera: Matrices (OpenGL: x right, y up, looking along -z).
        pinholes: Focal length in pixels, and column and row of the picture's middle.
        eyes: Where they are.
    """

    world_to_camera: Float[Tensor, "B 4 4"]
    pinholes: Float[Tensor, "B 3"]
    eyes: Float[Tensor, "B 3"]


def pinholes(cameras: Cameras, height: int, width: int) -> Pinholes:
    """Turns cameras into matrices and focal lengths for pictures of a size."""
    turn = cameras.c2w[:, :3, :3].transpose(1, 2)
    eyes = cameras.c2w[:, :3, 3]
    world_to_camera = torch.zeros_like(cameras.c2w)
    world_to_camera[:, :3, :3] = turn
    with full_precision(turn):
        world_to_camera[:, :3, 3] = -torch.einsum("bij,bj->bi", turn, eyes)
    world_to_camera[:, 3, 3] = 1.0
    focal = 0.5 * height / torch.tan(torch.deg2rad(cameras.fovy_deg) / 2.0)
    middle = focal.new_tensor([0.5 * width, 0.5 * height]).expand(len(focal), 2)
    return Pinholes(world_to_camera, torch.cat([focal[:, None], middle], 1), eyes)


def project(splats: Gaussians, cameras: Cameras, height: int, width: int) -> Footprints:
    """Projects splats into every camera's picture.

    Args:
        splats: The splats (float32).
        cameras: ``B`` cameras.
        height: Rows in pixels.
        width: Columns in pixels.

    Returns:
        The footprints, differentiable once with respect to means, scales, rotations and harmonics
        (``depths`` are not).
    """
    require_harmonics(splats.harmonics)
    poses = pinholes(cameras, height, width)
    centres, conics, features = _ProjectFunction.apply(
        splats.means, splats.scales, splats.rotations, splats.harmonics, *poses
    )
    return Footprints(
        centres, conics, clamped_colors(features), viewing_depths(splats.means, poses)
    )


def rotation_matrices(rotations: Float[Tensor, "N 4"]) -> Float[Tensor, "N 3 3"]:
    """Matrices of quaternions ``w x y z`` of any length; their columns are a splat's axes."""
    w, x, y, z = torch.nn.functional.normalize(rotations, dim=-1).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def require_harmonics(harmonics: Float[Tensor, "N K 3"]) -> int:
    """The degree of harmonics, 0 to 3.

    Raises:
        ValueError: If their number belongs to no degree.
    """
    if harmonics.shape[1] not in NUM_HARMONICS:
        raise ValueError(
            f"splats: {harmonics.shape[1]} harmonics a colour belong to no degree from 0 to 3; "
            f"they are {', '.join(map(str, NUM_HARMONICS))}"
        )
    return math.isqrt(harmonics.shape[1]) - 1


def clamped_colors(features: Float[Tensor, "B N 7"]) -> Float[Tensor, "B N 7"]:
    """Features with their colour clamped to [0, 1], which still learns the way back."""
    color: Tensor = _ClampedColor.apply(features[..., :3])
    return torch.cat([color, features[..., 3:]], -1)


def viewing_depths(means: Float[Tensor, "N 3"], poses: Pinholes) -> Float[Tensor, "B N"]:
    """Depths of means along the viewing axes, without gradients."""
    back = poses.world_to_camera[:, 2]
    with full_precision(means):
        return -(torch.einsum("bj,nj->bn", back[:, :3], means.detach()) + back[:, 3:])
