"""Ray marching through the occupied cells of the box [-1, 1]^3, into packed samples.

Samples of all rays lie in one list, ray after ray; ``offsets[r]`` and ``offsets[r + 1]`` bound
those of ray ``r``. (The layout is nerfacc's; Li et al., 2023.)
"""

# ruff: noqa: UP018  (float(0.0) is how Warp declares a variable)
from typing import NamedTuple, no_type_check

import torch
import warp as wp
from jaxtyping import Bool, Float, Int
from torch import Tensor

from redream.kernels.launch import launch

wp.set_module_options({"enable_backward": False})


class March(NamedTuple):
    """Rays, and what they march through: the arguments of :func:`march`.

    Attributes:
        origins: Starting points.
        directions: Unit directions.
        occupied: Occupied cells of the box [-1, 1]^3, indexed ``[x, y, z]``.
        step: Length of a sample in world units.
        jitter: Shift of each ray's samples, in [0, 1) steps.
        radius: Of the ball that is marched through.
    """

    origins: Float[Tensor, "R 3"]
    directions: Float[Tensor, "R 3"]
    occupied: Bool[Tensor, "G G G"]
    step: float
    jitter: Float[Tensor, " R"]
    radius: float


class Samples(NamedTuple):
    """Packed samples of ``R`` rays.

    Attributes:
        positions: The middle of each sample.
        t_start: Where each sample begins along its ray.
        t_end: Where it ends.
        ray_index: The ray of each sample, ascending.
        offsets: First sample of each ray, and the number of samples at the end.
    """

    positions: Float[Tensor, "N 3"]
    t_start: Float[Tensor, " N"]
    t_end: Float[Tensor, " N"]
    ray_index: Int[Tensor, " N"]
    offsets: Int[Tensor, " R+1"]

    def keep(self, kept: Bool[Tensor, " N"]) -> "Samples":
        """Drops the samples that are not kept; rays stay."""
        before = torch.zeros(kept.shape[0] + 1, dtype=torch.int32, device=kept.device)
        torch.cumsum(kept, 0, dtype=torch.int32, out=before[1:])
        rows = kept.nonzero()[:, 0]
        return Samples(
            self.positions[rows],
            self.t_start[rows],
            self.t_end[rows],
            self.ray_index[rows],
            before[self.offsets.long()],
        )


@wp.func
@no_type_check
def _inverse(direction: float) -> float:
    if wp.abs(direction) < 1.0e-12:
        return 1.0e12
    return 1.0 / direction


@wp.func
@no_type_check
def span(origin: wp.vec3, direction: wp.vec3, radius: float) -> wp.vec2:
    """Where a ray enters what the ball and the box share, and where it leaves it."""
    near = float(0.0)
    far = float(1.0e30)
    for axis in range(3):  # the box
        inverse = _inverse(direction[axis])
        a = (-1.0 - origin[axis]) * inverse
        b = (1.0 - origin[axis]) * inverse
        near = wp.max(near, wp.min(a, b))
        far = wp.min(far, wp.max(a, b))
    along = wp.dot(origin, direction)  # the ball
    discriminant = along * along - wp.dot(origin, origin) + radius * radius
    if discriminant <= 0.0:
        far = -1.0
    else:
        near = wp.max(near, -along - wp.sqrt(discriminant))
        far = wp.min(far, -along + wp.sqrt(discriminant))
    return wp.vec2(near, far)


@wp.func
@no_type_check
def is_occupied(point: wp.vec3, occupied: wp.array3d[wp.uint8]) -> bool:
    """Whether a point is in an occupied cell."""
    resolution = occupied.shape[0]
    half = 0.5 * float(resolution)
    x = int((point[0] + 1.0) * half)
    y = int((point[1] + 1.0) * half)
    z = int((point[2] + 1.0) * half)
    return (
        x >= 0
        and y >= 0
        and z >= 0
        and x < resolution
        and y < resolution
        and z < resolution
        and occupied[x, y, z] != wp.uint8(0)
    )


@wp.kernel
@no_type_check
def _march_kernel(
    origins: wp.array[wp.vec3],
    directions: wp.array[wp.vec3],
    jitter: wp.array[float],
    occupied: wp.array3d[wp.uint8],
    step: float,
    radius: float,
    write: bool,
    offsets: wp.array[int],
    counts: wp.array[int],
    positions: wp.array[wp.vec3],
    t_start: wp.array[float],
    t_end: wp.array[float],
    ray_index: wp.array[int],
) -> None:
    ray = wp.tid()
    origin = origins[ray]
    direction = directions[ray]
    ends = span(origin, direction, radius)
    count = int(0)
    slot = int(0)
    if write:
        slot = offsets[ray]
    i = int(0)
    start = ends[0] + jitter[ray] * step
    while start + 0.5 * step < ends[1]:
        middle = origin + (start + 0.5 * step) * direction
        if is_occupied(middle, occupied):
            if write:
                positions[slot + count] = middle
                t_start[slot + count] = start
                t_end[slot + count] = start + step
                ray_index[slot + count] = ray
            count += 1
        i += 1
        start = ends[0] + (float(i) + jitter[ray]) * step
    if not write:
        counts[ray] = count


def march(
    origins: Float[Tensor, "R 3"],
    directions: Float[Tensor, "R 3"],
    occupied: Bool[Tensor, "G G G"],
    step: float,
    jitter: Float[Tensor, " R"],
    radius: float = 2.0,
) -> Samples:
    """Marches rays with a fixed step and keeps the samples whose middle is in an occupied cell.

    Two passes over one kernel: the first counts each ray's samples, the second writes them.

    Args:
        origins: Starting points.
        directions: Unit directions.
        occupied: Occupied cells of the box [-1, 1]^3, indexed ``[x, y, z]``.
        step: Length of a sample in world units.
        jitter: Shift of each ray's samples, in [0, 1) steps.
        radius: Only the ball of this radius around the origin is marched; sqrt(3) and more leave
            the whole box.

    Returns:
        The samples, float32, without gradients.

    Raises:
        ValueError: If ``step`` is not positive.
    """
    if step <= 0.0:
        raise ValueError(f"the step of a ray march must be positive, got {step}")
    num_rays, device = origins.shape[0], origins.device

    def new(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(*shape, dtype=dtype, device=device)

    rays = (
        origins.float().contiguous(),
        directions.float().contiguous(),
        jitter.float().contiguous(),
        occupied.to(torch.uint8).contiguous(),
        step,
        radius,
    )
    nothing = (new(1, 3), new(1), new(1), new(1, dtype=torch.int32))
    counts = new(num_rays, dtype=torch.int32)
    offsets = torch.zeros(num_rays + 1, dtype=torch.int32, device=device)
    launch(_march_kernel, num_rays, *rays, False, offsets, counts, *nothing)
    torch.cumsum(counts, 0, dtype=torch.int32, out=offsets[1:])
    num = int(offsets[-1])
    samples = Samples(new(num, 3), new(num), new(num), new(num, dtype=torch.int32), offsets)
    if num > 0:
        launch(_march_kernel, num_rays, *rays, True, offsets, counts, *samples[:4])
    return samples


def march_reference(
    origins: Float[Tensor, "R 3"],
    directions: Float[Tensor, "R 3"],
    occupied: Bool[Tensor, "G G G"],
    step: float,
    jitter: Float[Tensor, " R"],
    radius: float = 2.0,
) -> Samples:
    """The same as :func:`march` in plain PyTorch, in the precision of its arguments."""
    inverse = torch.where(directions.abs() < 1e-12, 1e12, 1.0 / directions)
    a, b = (-1.0 - origins) * inverse, (1.0 - origins) * inverse
    near = torch.minimum(a, b).amax(-1).clamp_min(0.0)
    far = torch.maximum(a, b).amin(-1)
    along = (origins * directions).sum(-1)
    discriminant = along**2 - (origins**2).sum(-1) + radius**2
    root = discriminant.clamp_min(0.0).sqrt()
    near = torch.maximum(near, -along - root)
    far = torch.where(discriminant > 0.0, torch.minimum(far, -along + root), -1.0)
    longest = int(((far - near).clamp_min(0.0).max() / step).ceil()) + 1 if len(near) else 0
    index = torch.arange(longest, device=origins.device)
    start = near[:, None] + (index + jitter[:, None]) * step
    middle = start + 0.5 * step
    positions = origins[:, None] + middle[..., None] * directions[:, None]
    resolution = occupied.shape[0]
    cell = ((positions + 1.0) * (0.5 * resolution)).long()
    inside = ((cell >= 0) & (cell < resolution)).all(-1)
    x, y, z = cell.clamp(0, resolution - 1).unbind(-1)
    valid = (middle < far[:, None]) & inside & occupied[x, y, z].bool()
    offsets = torch.zeros(len(near) + 1, dtype=torch.int32, device=origins.device)
    offsets[1:] = valid.sum(1).cumsum(0)
    ray_index = valid.nonzero()[:, 0].int()
    t_start = start[valid]
    return Samples(positions[valid], t_start, t_start + step, ray_index, offsets)
