"""Multi-resolution hash encoding (Instant-NGP; Mueller et al., 2022, Sec. 3), CPU and CUDA.

A point of the unit cube is looked up in ``L`` grids of growing resolution. Each level stores two
features per grid vertex in a table of at most ``T`` rows, addressed directly where the level fits
and by a spatial hash where it does not, and interpolates them trilinearly.
"""

import math
from typing import Any, NamedTuple, no_type_check

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from redream.kernels.launch import launch

wp.set_module_options({"enable_backward": False})  # the backward kernel is written by hand

NUM_FEATURES = 2
PRIMES = (1, 2654435761, 805459861)
PRIME_Y = wp.constant(wp.uint32(PRIMES[1]))
PRIME_Z = wp.constant(wp.uint32(PRIMES[2]))


class HashGridLevel(NamedTuple):
    """Where one level's vertices live in the common table.

    Attributes:
        resolution: Cells along each axis.
        offset: First row of the level.
        size: Rows of the level: ``(resolution + 1)**3`` where that fits, else ``T``.
    """

    resolution: int
    offset: int
    size: int

    @property
    def dense(self) -> bool:
        """Whether every vertex has a row of its own."""
        return bool((self.resolution + 1) ** 3 == self.size)


def plan_levels(
    num_levels: int, log2_table_size: int, base_resolution: int, max_resolution: int
) -> tuple[HashGridLevel, ...]:
    """Plans levels whose resolutions grow geometrically (Instant-NGP, Eqs. 2-3).

    Args:
        num_levels: ``L``.
        log2_table_size: log2 of ``T``, the most rows that a level may have.
        base_resolution: Resolution of the coarsest level.
        max_resolution: Resolution of the finest level.

    Returns:
        The levels, coarse to fine.

    Raises:
        ValueError: If a number is out of range.
    """
    if num_levels < 1 or base_resolution < 1 or max_resolution < base_resolution:
        raise ValueError(
            f"hash grid: need num_levels >= 1 and 1 <= base_resolution <= max_resolution, got "
            f"{num_levels}, {base_resolution}, {max_resolution}"
        )
    if not 1 <= log2_table_size <= 24:
        raise ValueError(f"hash grid: log2_table_size must be 1 to 24, got {log2_table_size}")
    growth = math.log(max_resolution / base_resolution) / max(num_levels - 1, 1)
    levels: list[HashGridLevel] = []
    offset = 0
    for level in range(num_levels):
        resolution = int(base_resolution * math.exp(level * growth) + 1e-6)
        size = min((resolution + 1) ** 3, 2**log2_table_size)
        levels.append(HashGridLevel(resolution, offset, size))
        offset += size
    return tuple(levels)


@wp.func
@no_type_check
def _row(corner: wp.vec3i, resolution: int, offset: int, size: int) -> int:
    side = resolution + 1
    if side * side * side == size:
        return offset + corner[0] + side * (corner[1] + side * corner[2])
    hashed = (
        wp.uint32(corner[0]) ^ (wp.uint32(corner[1]) * PRIME_Y) ^ (wp.uint32(corner[2]) * PRIME_Z)
    )
    return offset + int(hashed & wp.uint32(size - 1))


@wp.func
@no_type_check
def _cell(position: float, resolution: int) -> int:
    return wp.clamp(int(wp.floor(position)), 0, resolution - 1)


@wp.kernel
@no_type_check
def _encode_kernel(
    points: wp.array[wp.vec3],
    table: wp.array[wp.vec2],
    levels: wp.array[wp.vec3i],
    features: wp.array2d[wp.vec2],
) -> None:
    level, i = wp.tid()
    resolution = levels[level][0]
    offset = levels[level][1]
    size = levels[level][2]
    x = wp.clamp(points[i][0], 0.0, 1.0) * float(resolution)
    y = wp.clamp(points[i][1], 0.0, 1.0) * float(resolution)
    z = wp.clamp(points[i][2], 0.0, 1.0) * float(resolution)
    cell = wp.vec3i(_cell(x, resolution), _cell(y, resolution), _cell(z, resolution))
    fx = x - float(cell[0])
    fy = y - float(cell[1])
    fz = z - float(cell[2])
    total = wp.vec2(0.0, 0.0)
    for c in range(8):
        dx = c & 1
        dy = (c >> 1) & 1
        dz = c >> 2
        wx = wp.where(dx == 1, fx, 1.0 - fx)
        wy = wp.where(dy == 1, fy, 1.0 - fy)
        wz = wp.where(dz == 1, fz, 1.0 - fz)
        corner = wp.vec3i(cell[0] + dx, cell[1] + dy, cell[2] + dz)
        total += (wx * wy * wz) * table[_row(corner, resolution, offset, size)]
    features[i, level] = total


@wp.kernel
@no_type_check
def _encode_backward_kernel(
    points: wp.array[wp.vec3],
    table: wp.array[wp.vec2],
    levels: wp.array[wp.vec3i],
    features_grad: wp.array2d[wp.vec2],
    points_wanted: bool,
    table_grad: wp.array[wp.vec2],
    points_grad: wp.array[wp.vec3],
) -> None:
    level, i = wp.tid()
    resolution = levels[level][0]
    offset = levels[level][1]
    size = levels[level][2]
    scale = float(resolution)
    x = wp.clamp(points[i][0], 0.0, 1.0) * scale
    y = wp.clamp(points[i][1], 0.0, 1.0) * scale
    z = wp.clamp(points[i][2], 0.0, 1.0) * scale
    cell = wp.vec3i(_cell(x, resolution), _cell(y, resolution), _cell(z, resolution))
    fx = x - float(cell[0])
    fy = y - float(cell[1])
    fz = z - float(cell[2])
    grad = features_grad[i, level]
    slope = wp.vec3(0.0, 0.0, 0.0)
    for c in range(8):
        dx = c & 1
        dy = (c >> 1) & 1
        dz = c >> 2
        wx = wp.where(dx == 1, fx, 1.0 - fx)
        wy = wp.where(dy == 1, fy, 1.0 - fy)
        wz = wp.where(dz == 1, fz, 1.0 - fz)
        corner = wp.vec3i(cell[0] + dx, cell[1] + dy, cell[2] + dz)
        row = _row(corner, resolution, offset, size)
        wp.atomic_add(table_grad, row, (wx * wy * wz) * grad)
        if points_wanted:
            along = wp.dot(table[row], grad)
            sx = wp.where(dx == 1, 1.0, -1.0)
            sy = wp.where(dy == 1, 1.0, -1.0)
            sz = wp.where(dz == 1, 1.0, -1.0)
            slope += along * wp.vec3(sx * wy * wz, wx * sy * wz, wx * wy * sz)
    if points_wanted:
        p = points[i]
        inside = wp.vec3(
            wp.where(p[0] >= 0.0 and p[0] <= 1.0, scale, 0.0),
            wp.where(p[1] >= 0.0 and p[1] <= 1.0, scale, 0.0),
            wp.where(p[2] >= 0.0 and p[2] <= 1.0, scale, 0.0),
        )
        wp.atomic_add(points_grad, i, wp.cw_mul(slope, inside))


class _HashEncode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, table: Tensor, levels: Tensor) -> Tensor:  # noqa: ANN401
        points, table = points.contiguous(), table.contiguous()
        features = points.new_empty(points.shape[0], levels.shape[0], NUM_FEATURES)
        dim = (levels.shape[0], points.shape[0])
        launch(_encode_kernel, dim, points, table, levels, features)
        ctx.save_for_backward(points, table, levels)
        return features.flatten(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, features_grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        points, table, levels = ctx.saved_tensors
        points_wanted = ctx.needs_input_grad[0]
        table_grad = torch.zeros_like(table)
        points_grad = torch.zeros_like(points) if points_wanted else points  # unread if unwanted
        launch(
            _encode_backward_kernel,
            (levels.shape[0], points.shape[0]),
            points,
            table,
            levels,
            features_grad.contiguous().view(-1, levels.shape[0], NUM_FEATURES),
            points_wanted,
            table_grad,
            points_grad,
        )
        return points_grad if points_wanted else None, table_grad, None


class HashGrid(nn.Module):
    """A learned multi-resolution hash encoding of the unit cube.

    Args:
        num_levels: Number of levels ``L``.
        log2_table_size: log2 of the most rows ``T`` that a level may have.
        base_resolution: Cells along each axis of the coarsest level.
        max_resolution: Cells along each axis of the finest level.
        generator: Source of the initial features, uniform in [-1e-4, 1e-4]; PyTorch's global one
            if None.

    Raises:
        ValueError: If a number is out of range.
    """

    levels: Tensor

    def __init__(
        self,
        num_levels: int = 8,
        log2_table_size: int = 15,
        base_resolution: int = 8,
        max_resolution: int = 128,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        plan = plan_levels(num_levels, log2_table_size, base_resolution, max_resolution)
        self.num_features = num_levels * NUM_FEATURES
        self.register_buffer("levels", torch.tensor(plan, dtype=torch.int32), persistent=False)
        num_rows = plan[-1].offset + plan[-1].size
        self.table = nn.Parameter(
            (torch.rand(num_rows, NUM_FEATURES, generator=generator) * 2.0 - 1.0) * 1e-4
        )

    def forward(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N F"]:
        """Encodes points of the unit cube; points outside are clamped to it.

        The result is differentiable once, with respect to the table and to the points.

        Args:
            points: float32 positions in [0, 1].

        Returns:
            ``2 L`` features per point, coarse levels first.
        """
        encoded: Tensor = _HashEncode.apply(points, self.table, self.levels)
        return encoded


def encode_reference(
    points: Float[Tensor, "N 3"], table: Float[Tensor, "R 2"], levels: tuple[HashGridLevel, ...]
) -> Float[Tensor, "N F"]:
    """The hash encoding in plain PyTorch, in the precision of its arguments.

    Args:
        points: Positions; those outside [0, 1] are clamped.
        table: The rows of all levels.
        levels: The plan of the levels.

    Returns:
        The same as :meth:`HashGrid.forward`.
    """
    corners = torch.cartesian_prod(*[torch.arange(2, device=points.device)] * 3)
    features = []
    for level in levels:
        scaled = points.clamp(0.0, 1.0) * level.resolution
        cell = scaled.detach().floor().clamp(0, level.resolution - 1)
        fraction = (scaled - cell)[:, None]
        weights = torch.where(corners == 1, fraction, 1.0 - fraction).prod(-1)
        x, y, z = (cell.long()[:, None] + corners).unbind(-1)
        if level.dense:
            side = level.resolution + 1
            rows = x + side * (y + side * z)
        else:
            rows = (x * PRIMES[0]) ^ (y * PRIMES[1]) ^ (z * PRIMES[2])
            rows = rows & (level.size - 1)
        features.append((weights[..., None] * table[level.offset + rows]).sum(1))
    return torch.cat(features, dim=-1)
