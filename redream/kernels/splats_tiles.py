"""Which splats a tile of the picture sees, near to far.

The picture is cut into square tiles. A splat is listed by every tile that the box about its
footprint touches; within a tile the list goes by depth, and splats of equal depth by their number.
On a CPU a counting sort puts them into their lists in that order, since Warp's threads run one
after another there; on a GPU PyTorch's stable sort does.
"""

# ruff: noqa: UP018  (float(0.0) is how Warp declares a variable)
from typing import NamedTuple, no_type_check

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from redream.kernels.launch import launch
from redream.kernels.splats_projection import CUTOFF, MIN_ALPHA, Footprints

wp.set_module_options({"enable_backward": False})

_CUTOFF = wp.constant(CUTOFF)
_MIN_ALPHA = wp.constant(MIN_ALPHA)


class Tiles(NamedTuple):
    """Lists of splats, tile by tile.

    Attributes:
        splats: The listed splats, numbered through all ``B N`` footprints.
        offsets: Where the list of each of the ``B * rows * columns`` tiles begins; one more at the
            end.
        size: Height and width of a tile in pixels.
        rows: Tiles above each other.
        columns: Tiles beside each other.
    """

    splats: Int[Tensor, " M"]
    offsets: Int[Tensor, " T1"]
    size: int
    rows: int
    columns: int


def tile_size(device: torch.device) -> int:
    """Pixels along a tile: a GPU's threads share a list, a CPU's one thread wants it short."""
    return 16 if device.type == "cuda" else 8


@wp.kernel
@no_type_check
def _box_kernel(
    centres: wp.array2d[wp.vec2],
    conics: wp.array2d[wp.vec3],
    opacities: wp.array[float],
    size: int,
    rows: int,
    columns: int,
    boxes: wp.array2d[wp.vec4i],
    counts: wp.array2d[int],
) -> None:
    view, i = wp.tid()
    conic = conics[view, i]
    det = conic[0] * conic[2] - conic[1] * conic[1]
    box = wp.vec4i(0, 0, 0, 0)
    if det > 0.0 and opacities[i] >= _MIN_ALPHA:
        reach = wp.min(_CUTOFF, wp.sqrt(2.0 * wp.log(opacities[i] / _MIN_ALPHA)))
        x = centres[view, i][0]
        y = centres[view, i][1]
        half_x = reach * wp.sqrt(conic[2] / det)
        half_y = reach * wp.sqrt(conic[0] / det)
        tile = float(size)
        # Clamped as floats: a centre far outside does not fit an integer.
        wide = float(columns)
        high = float(rows)
        box = wp.vec4i(
            int(wp.clamp(wp.floor((x - half_x) / tile), 0.0, wide)),
            int(wp.clamp(wp.floor((y - half_y) / tile), 0.0, high)),
            int(wp.clamp(wp.floor((x + half_x) / tile) + 1.0, 0.0, wide)),
            int(wp.clamp(wp.floor((y + half_y) / tile) + 1.0, 0.0, high)),
        )
    boxes[view, i] = box
    counts[view, i] = (box[2] - box[0]) * (box[3] - box[1])


@wp.kernel
@no_type_check
def _list_kernel(
    order: wp.array2d[wp.int64],
    boxes: wp.array2d[wp.vec4i],
    begins: wp.array2d[wp.int64],
    rows: int,
    columns: int,
    tiles: wp.array[int],
    splats: wp.array[int],
) -> None:
    view, k = wp.tid()
    i = int(order[view, k])
    box = boxes[view, i]
    place = int(begins[view, k])
    for row in range(box[1], box[3]):
        for column in range(box[0], box[2]):
            tiles[place] = (view * rows + row) * columns + column
            splats[place] = view * order.shape[1] + i
            place += 1


@wp.kernel
@no_type_check
def _place_kernel(
    tiles: wp.array[int],
    splats: wp.array[int],
    cursors: wp.array[int],
    placed: wp.array[int],
) -> None:
    k = wp.tid()
    placed[wp.atomic_add(cursors, tiles[k], 1)] = splats[k]


@torch.no_grad()
def list_tiles(
    footprints: Footprints, opacities: Float[Tensor, " N"], height: int, width: int, size: int
) -> Tiles:
    """Lists the splats that each tile sees.

    Args:
        footprints: The splats in ``B`` pictures.
        opacities: Their opacities.
        height: Rows of the pictures in pixels.
        width: Columns.
        size: Pixels along a tile.

    Returns:
        The lists, near to far.
    """
    rows, columns = -(-height // size), -(-width // size)
    centres, conics, _, depths = footprints
    num_views, num = depths.shape
    boxes = torch.empty(num_views, num, 4, dtype=torch.int32, device=depths.device)
    counts = torch.empty(num_views, num, dtype=torch.int32, device=depths.device)
    seen = (centres.contiguous(), conics.contiguous(), opacities.contiguous())
    launch(_box_kernel, (num_views, num), *seen, size, rows, columns, boxes, counts)
    order = depths.argsort(dim=1, stable=True)
    ordered = counts.gather(1, order).long()
    ends = ordered.flatten().cumsum(0)
    begins = ends.view_as(ordered) - ordered
    num_listed = int(ends[-1]) if num_views * num else 0
    tiles = torch.empty(num_listed, dtype=torch.int32, device=depths.device)
    splats = torch.empty_like(tiles)
    launch(_list_kernel, (num_views, num), order, boxes, begins, rows, columns, tiles, splats)
    lengths = torch.bincount(tiles, minlength=num_views * rows * columns)
    offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).int()
    return Tiles(_by_tile(tiles, splats, offsets), offsets, size, rows, columns)


def _by_tile(
    tiles: Int[Tensor, " M"], splats: Int[Tensor, " M"], offsets: Int[Tensor, " T1"]
) -> Int[Tensor, " M"]:
    if tiles.is_cuda:
        return splats[tiles.argsort(stable=True)]
    placed = torch.empty_like(splats)
    launch(_place_kernel, len(tiles), tiles, splats, offsets[:-1].clone(), placed)
    return placed
