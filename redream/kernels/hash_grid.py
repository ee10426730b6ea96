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
_STRETCH = 1024  # points of one level that a thread of a CPU looks up


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


# C++ within one thread's stretch of points, because a CPU runs threads one after another: what is
# the same for all points of a level is then worked out once, and a cell's rows all at once.
_OVER_POINTS = """
    const int* plan = reinterpret_cast<const int*>(levels.data) + 3 * level;
    const int resolution = plan[0];
    const unsigned size = plan[2], side = resolution + 1;
    const bool dense = side * side * side == size;
    const unsigned stride_y = dense ? side : 2654435761u;
    const unsigned stride_z = dense ? side * side : 805459861u;
    const float scale = (float)resolution;
    for (int i = begin; i < end; ++i) {
        const float* place = reinterpret_cast<const float*>(points.data) + 3 * (size_t)i;
        unsigned cell[3];
        float far[3], near[3];
        for (int axis = 0; axis < 3; ++axis) {
            const float scaled = wp::clamp(place[axis], 0.0f, 1.0f) * scale;
            const int below = wp::clamp((int)scaled, 0, resolution - 1);
            cell[axis] = below;
            far[axis] = scaled - (float)below;
            near[axis] = 1.0f - far[axis];
        }
        const unsigned y = cell[1] * stride_y, z = cell[2] * stride_z;
        unsigned rows[8];
        if (dense) {
            for (int c = 0; c < 8; ++c)
                rows[c] = cell[0] + (c & 1) + y + (c >> 1 & 1) * stride_y + z + (c >> 2) * stride_z;
        } else {
            for (int c = 0; c < 8; ++c)
                rows[c] = ((cell[0] + (c & 1)) ^ (y + (c >> 1 & 1) * stride_y)
                           ^ (z + (c >> 2) * stride_z)) & (size - 1);
        }
"""

_ENCODE = (
    """
    const float* own = reinterpret_cast<const float*>(table.data)
        + 2 * (size_t)reinterpret_cast<const int*>(levels.data)[3 * level + 1];
"""
    + _OVER_POINTS
    + """
        float a = 0.0f, b = 0.0f;
        for (int c = 0; c < 8; ++c) {
            const float across = (c & 2 ? far[1] : near[1]) * (c & 4 ? far[2] : near[2]);
            const float weight = (c & 1 ? far[0] : near[0]) * across;
            a += weight * own[2 * (size_t)rows[c]];
            b += weight * own[2 * (size_t)rows[c] + 1];
        }
        float* feature = features.data + ((size_t)i * levels.shape[0] + level) * 2;
        feature[0] = a;
        feature[1] = b;
    }
"""
)

_ENCODE_BACKWARD = (
    """
    const size_t first = 2 * (size_t)reinterpret_cast<const int*>(levels.data)[3 * level + 1];
    const float* own = reinterpret_cast<const float*>(table.data) + first;
    float* __restrict__ added = reinterpret_cast<float*>(table_grad.data) + first;
"""
    + _OVER_POINTS
    + """
        const float* grads = features_grad.data + ((size_t)i * levels.shape[0] + level) * 2;
        const float grad[2] = {grads[0], grads[1]};
        for (int c = 0; c < 8; ++c) {
            const float across = (c & 2 ? far[1] : near[1]) * (c & 4 ? far[2] : near[2]);
            const float weight = (c & 1 ? far[0] : near[0]) * across;
            for (int k = 0; k < 2; ++k)
                wp::atomic_add(added + 2 * (size_t)rows[c] + k, weight * grad[k]);
        }
        if (!points_wanted) continue;
        float slope[3] = {0.0f, 0.0f, 0.0f};
        for (int c = 0; c < 8; ++c) {
            const size_t row = 2 * (size_t)rows[c];
            const float along = own[row] * grad[0] + own[row + 1] * grad[1];
            const float wx = c & 1 ? far[0] : near[0];
            const float wy = c & 2 ? far[1] : near[1];
            const float wz = c & 4 ? far[2] : near[2];
            slope[0] += (c & 1 ? along : -along) * wy * wz;
            slope[1] += (c & 2 ? along : -along) * wx * wz;
            slope[2] += (c & 4 ? along : -along) * wx * wy;
        }
        float* moved = reinterpret_cast<float*>(points_grad.data) + 3 * (size_t)i;
        for (int axis = 0; axis < 3; ++axis)
            if (place[axis] >= 0.0f && place[axis] <= 1.0f)
                wp::atomic_add(moved + axis, slope[axis] * scale);
    }
"""
)


@wp.func_native(_ENCODE)
@no_type_check
def encode_level(
    points: wp.array[wp.vec3],
    table: wp.array[wp.vec2],
    levels: wp.array[wp.vec3i],
    features: wp.array[float],
    level: int,
    begin: int,
    end: int,
) -> None:
    """Writes the two features that points from ``begin`` to ``end`` have on a level."""


@wp.func_native(_ENCODE_BACKWARD)
@no_type_check
def _encode_level_backward(
    points: wp.array[wp.vec3],
    table: wp.array[wp.vec2],
    levels: wp.array[wp.vec3i],
    features_grad: wp.array[float],
    points_wanted: bool,
    table_grad: wp.array[wp.vec2],
    points_grad: wp.array[wp.vec3],
    level: int,
    begin: int,
    end: int,
) -> None: ...


@wp.kernel
@no_type_check
def _encode_kernel(
    points: wp.array[wp.vec3],
    table: wp.array[wp.vec2],
    levels: wp.array[wp.vec3i],
    stretch: int,
    features: wp.array[float],
) -> None:
    level, part = wp.tid()
    begin = part * stretch
    end = wp.min(begin + stretch, points.shape[0])
    encode_level(points, table, levels, features, level, begin, end)


@wp.kernel
@no_type_check
def _encode_backward_kernel(
    points: wp.array[wp.vec3],
    table: wp.array[wp.vec2],
    levels: wp.array[wp.vec3i],
    stretch: int,
    features_grad: wp.array[float],
    points_wanted: bool,
    table_grad: wp.array[wp.vec2],
    points_grad: wp.array[wp.vec3],
) -> None:
    level, part = wp.tid()
    _encode_level_backward(
        points,
        table,
        levels,
        features_grad,
        points_wanted,
        table_grad,
        points_grad,
        level,
        part * stretch,
        wp.min((part + 1) * stretch, points.shape[0]),
    )


class _HashEncode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        points: Tensor,
        table: Tensor,
        levels: Tensor,
        known: Tensor | None,
    ) -> Tensor:
        points, table = points.contiguous(), table.contiguous()
        ctx.save_for_backward(points, table, levels)
        if known is not None:
            return known
        features = points.new_empty(points.shape[0], levels.shape[0] * NUM_FEATURES)
        dim, stretch = _threads(points, levels)
        launch(_encode_kernel, dim, points, table, levels, stretch, features.view(-1))
        return features

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, features_grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        points, table, levels = ctx.saved_tensors
        points_wanted = ctx.needs_input_grad[0]
        table_grad = torch.zeros_like(table)
        points_grad = torch.zeros_like(points) if points_wanted else points  # unread if unwanted
        dim, stretch = _threads(points, levels)
        launch(
            _encode_backward_kernel,
            dim,
            points,
            table,
            levels,
            stretch,
            features_grad.contiguous().view(-1),
            points_wanted,
            table_grad,
            points_grad,
        )
        return points_grad if points_wanted else None, table_grad, None, None


def _threads(points: Tensor, levels: Tensor) -> tuple[tuple[int, int], int]:
    """Threads of a launch, and of how many points each: of one on a GPU, of many on a CPU."""
    stretch = 1 if points.is_cuda else _STRETCH
    return (levels.shape[0], -(-points.shape[0] // stretch)), stretch


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

    def forward(
        self, points: Float[Tensor, "N 3"], known: Float[Tensor, "N F"] | None = None
    ) -> Float[Tensor, "N F"]:
        """Encodes points of the unit cube; points outside are clamped to it.

        The result is differentiable once, with respect to the table and to the points.

        Args:
            points: float32 positions in [0, 1].
            known: The result, where it has been found already without gradients: it is given
                back, with gradients.

        Returns:
            ``2 L`` features per point, coarse levels first.
        """
        encoded: Tensor = _HashEncode.apply(points, self.table, self.levels, known)
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
