"""Anti-aliased silhouettes: where a mesh's picture gets its gradients to the outline from.

A pixel sees one triangle or none, so a picture of a mesh jumps where an outline passes a pixel's
centre. As in nvdiffrast (Laine et al., 2020, Sec. 3.6), two neighbouring pixels are blended where
an outline passes between their centres, in proportion to the part of the pixel that it cuts off;
the blend is continuous in the vertices, and its derivative is that of the covered area.

nvdiffrast looks at the edges of the triangles that pixels see, and loses an outline whose triangles
are smaller than a pixel. Here the outline's edges look for their pixels instead: each edge visits
the rows (or columns) whose centres it crosses, and a ray says whether it is hidden there.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from redream.kernels.outlines import Edges, outline_sides, project
from redream.kernels.raycast import RayCaster, cast_rays_reference
from redream.precision import full_precision
from redream.types import Cameras

_HIDDEN = 1e-3  # relative distance by which something must be nearer to hide an outline
_ASIDE = 1e-2  # pixels beside the outline at which the ray looks, so that it misses its own faces


class Crossings(NamedTuple):
    """Where visible outlines pass between the centres of two neighbouring pixels.

    Attributes:
        near: The pixel on the side of the surface, among all ``B H W`` in row order.
        far: Its neighbour on the other side.
        distance: From the near pixel's centre to the outline, in pixels, in [0, 1].
    """

    near: Int[Tensor, " N"]
    far: Int[Tensor, " N"]
    distance: Float[Tensor, " N"]


class _Candidates(NamedTuple):
    """Crossings of outlines, before it is known whether they show.

    Attributes:
        crossings: The crossings.
        view: The view of each.
        column: Where it is in the picture, a little beside the outline, on the far side.
        row: The same, downward.
        depth: The outline's depth along the viewing axis.
    """

    crossings: Crossings
    view: Int[Tensor, " N"]
    column: Float[Tensor, " N"]
    row: Float[Tensor, " N"]
    depth: Float[Tensor, " N"]


def find_crossings(
    vertices: Float[Tensor, "V 3"],
    edges: Edges,
    cameras: Cameras,
    depth: Float[Tensor, "B H W"],
    caster: RayCaster,
) -> Crossings:
    """Finds where visible outlines pass between the centres of two neighbouring pixels.

    An edge is looked at along rows where it is steep in the picture, along columns where not.

    Args:
        vertices: Positions; gradients reach them.
        edges: The mesh's edges.
        cameras: ``B`` cameras.
        depth: Distance that each pixel sees, infinite for nothing.
        caster: The mesh, to be hit by rays.

    Returns:
        The crossings.
    """
    height, width = depth.shape[1:]
    screen = project(vertices, cameras, height, width)
    sides = outline_sides(edges, screen)
    view, edge = sides.nonzero().unbind(1)
    start, end = (screen[view, edges.corners[edge, i]] for i in range(2))
    along = (end - start).detach().abs()
    steep = along[:, 1] >= along[:, 0]
    parts: list[Crossings] = []
    for rowwise in (True, False):
        mine = (steep == rowwise).nonzero()[:, 0]
        candidates = _candidates(
            start[mine], end[mine], sides[view, edge][mine], view[mine], height, width, rowwise
        )
        shown = _shown(candidates, cameras, depth, caster).nonzero()[:, 0]
        parts.append(_outermost(Crossings(*(column[shown] for column in candidates.crossings))))
    return Crossings(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def _candidates(
    start: Float[Tensor, "E 3"],
    end: Float[Tensor, "E 3"],
    side: Float[Tensor, " E"],
    view: Int[Tensor, " E"],
    height: int,
    width: int,
    rowwise: bool,
) -> _Candidates:
    """The crossings of steep edges with rows, or of flat ones with columns."""
    minor, major = (0, 1) if rowwise else (1, 0)
    across, stride = (width, 1) if rowwise else (height, width)
    first, count = _lines(start[:, major], end[:, major], height if rowwise else width)
    which = torch.arange(len(count), device=count.device).repeat_interleave(count)
    begins = (count.cumsum(0) - count)[which]
    line = first[which] + torch.arange(len(which), device=which.device) - begins
    start, end, side, view = start[which], end[which], side[which], view[which]
    run = end[:, major] - start[:, major]
    share = (line + 0.5 - start[:, major]) / run
    place = start[:, minor] + share * (end[:, minor] - start[:, minor]) - 0.5
    low = place.detach().floor().long()
    inside = ((low >= 0) & (low + 1 < across)).nonzero()[:, 0]
    line, low, place, view = line[inside], low[inside], place[inside], view[inside]
    share, start, end = share.detach()[inside], start.detach()[inside], end.detach()[inside]
    high_is_near = (side * run.detach())[inside] * (1.0 if rowwise else -1.0) < 0.0
    column, row = (low, line) if rowwise else (line, low)
    pixel = (view * height + row) * width + column
    beside = place.detach() + 0.5 + torch.where(high_is_near, -_ASIDE, _ASIDE)
    centre = (line + 0.5).to(beside)
    column, row = (beside, centre) if rowwise else (centre, beside)
    return _Candidates(
        Crossings(
            near=torch.where(high_is_near, pixel + stride, pixel),
            far=torch.where(high_is_near, pixel, pixel + stride),
            distance=torch.where(high_is_near, low + 1 - place, place - low),
        ),
        view,
        column,
        row,
        depth=1.0 / ((1.0 - share) / start[:, 2] + share / end[:, 2]),
    )


def _lines(
    start: Float[Tensor, " N"], end: Float[Tensor, " N"], size: int
) -> tuple[Int[Tensor, " N"], Int[Tensor, " N"]]:
    """The first row or column whose centre lies between two coordinates, and how many do."""
    low, high = torch.minimum(start, end).detach(), torch.maximum(start, end).detach()
    first = (low - 0.5).ceil().clamp(0, size).long()
    last = (high - 0.5).ceil().clamp(0, size).long()
    return first, last - first


@torch.no_grad()
def _shown(
    candidates: _Candidates, cameras: Cameras, depth: Float[Tensor, "B H W"], caster: RayCaster
) -> Bool[Tensor, " N"]:
    """Whether nothing hides an outline, and what its far pixel sees lies behind it.

    Where the surface folds within a pixel, an outline may have more of it right behind while the
    far pixel sees nothing: then another outline lies between, and that one counts.
    """
    height, width = depth.shape[1:]
    tangent = torch.tan(torch.deg2rad(cameras.fovy_deg[candidates.view]) / 2.0)
    x = tangent * (2.0 * candidates.column - width) / height
    y = tangent * (height - 2.0 * candidates.row) / height
    in_camera = torch.stack([x, y, -torch.ones_like(x)], -1)
    nearest = candidates.depth * in_camera.norm(dim=-1) * (1.0 - _HIDDEN)
    seen = depth.reshape(-1)
    crossings = candidates.crossings
    shown: Tensor = seen[crossings.near].isfinite() & (seen[crossings.far] > nearest)
    rows = shown.nonzero()[:, 0]
    c2w = cameras.c2w[candidates.view[rows]]
    with full_precision(c2w):
        directions = torch.einsum("nij,nj->ni", c2w[:, :3, :3], in_camera[rows])
    hits = caster.cast(c2w[:, :3, 3], torch.nn.functional.normalize(directions, dim=-1))
    behind = hits.depth.to(nearest)
    empty = behind.isinf() | seen[crossings.far[rows]].isfinite()
    shown[rows] = (behind > nearest[rows]) & empty
    return shown


def _outermost(crossings: Crossings) -> Crossings:
    """Of several outlines between two pixels the one farthest from the near pixel.

    A curved surface turns away along a zigzag of edges, which passes a row several times.
    """
    order = crossings.distance.detach().argsort(stable=True)
    pair = 2 * crossings.near + (crossings.far > crossings.near)
    order = order[pair[order].argsort(stable=True)]
    pair = pair[order]
    last = torch.ones_like(pair, dtype=torch.bool)
    last[:-1] = pair[1:] != pair[:-1]
    return Crossings(*(column[order[last]] for column in crossings))


def blend(image: Float[Tensor, "N C"], crossings: Crossings) -> Float[Tensor, "N C"]:
    """Blends the pixels on both sides of outlines, each as far as the outline cuts into it.

    Where several outlines cut into one pixel, what they leave of it multiplies, so that the result
    is always a weighted mean.

    Args:
        image: All pixels of all views, in row order; opacity premultiplied.
        crossings: Where outlines pass.

    Returns:
        The anti-aliased pixels, with gradients to ``image`` and through ``crossings``.
    """
    in_far = crossings.distance.detach() >= 0.5
    cut = torch.where(in_far, crossings.far, crossings.near)
    other = torch.where(in_far, crossings.near, crossings.far)
    weight = (crossings.distance - 0.5).abs()
    difference = image.index_select(0, other) - image.index_select(0, cut)
    zeros = image.new_zeros(len(image))
    total = zeros.index_add(0, cut, weight)
    left = zeros.index_add(0, cut, torch.log1p(-weight))
    touched = total.detach() > 1e-9
    share = torch.where(touched, -torch.expm1(left) / torch.where(touched, total, 1.0), 1.0)
    return image + (
        share[:, None] * torch.zeros_like(image).index_add(0, cut, weight[:, None] * difference)
    )


def find_crossings_reference(
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    cameras: Cameras,
    depth: Float[Tensor, "B H W"],
) -> Crossings:
    """The same as :func:`find_crossings`, trying every edge against every pair of pixels."""
    _, height, width = depth.shape
    found: list[tuple[int, int, Tensor]] = []
    neighbours: dict[tuple[int, ...], list[int]] = {}
    for face in faces.tolist():
        for i in range(3):
            ends = tuple(sorted((face[i], face[(i + 1) % 3])))
            neighbours.setdefault(ends, []).append(face[(i + 2) % 3])
    for view in range(len(depth)):
        camera = cameras.select(slice(view, view + 1))
        screen = project(vertices, camera, height, width)[0]
        flat = screen.detach()[:, :2].tolist()

        def side(p: list[float], a: list[float], b: list[float]) -> float:
            return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])

        for (i, j), opposite in neighbours.items():
            sides = [side(flat[k], flat[i], flat[j]) for k in opposite]
            if min(sides) < 0.0 < max(sides) or not any(sides):
                continue
            steep = abs(flat[j][1] - flat[i][1]) >= abs(flat[j][0] - flat[i][0])
            major, step = (1, (1, 0)) if steep else (0, (0, 1))
            for row in range(height - step[1]):
                for column in range(width - step[0]):
                    here = [column + 0.5, row + 0.5]
                    share = (here[major] - flat[i][major]) / (flat[j][major] - flat[i][major])
                    spot = screen[i] + share * (screen[j] - screen[i])
                    place = spot[1 - major] - here[1 - major]
                    if not (0.0 <= share <= 1.0 and 0.0 <= place < 1.0):
                        continue
                    here_is_near = side(here, flat[i], flat[j]) * sum(sides) > 0.0
                    pixels = [view * height * width + row * width + column]
                    pixels.append(pixels[0] + step[0] + width * step[1])
                    near, far = pixels if here_is_near else pixels[::-1]
                    beside = spot.detach().clone()
                    beside[1 - major] += _ASIDE if here_is_near else -_ASIDE
                    beside[2] = 1.0 / ((1.0 - share) / screen[i, 2] + share / screen[j, 2])
                    if _shown_reference(beside, vertices, faces, camera, depth, near, far):
                        found.append((near, far, place if here_is_near else 1.0 - place))
    outermost: dict[tuple[int, int], Tensor] = {}
    for near, far, distance in found:
        if (near, far) not in outermost or outermost[near, far] < distance:
            outermost[near, far] = distance
    near_far = torch.tensor(list(outermost)).view(-1, 2)
    return Crossings(near_far[:, 0], near_far[:, 1], torch.stack(list(outermost.values())))


@torch.no_grad()
def _shown_reference(
    spot: Float[Tensor, " 3"],
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    camera: Cameras,
    depth: Float[Tensor, "B H W"],
    near: int,
    far: int,
) -> bool:
    """Whether an outline shows at a column, row and depth."""
    _, height, width = depth.shape
    scale = 2.0 * torch.tan(torch.deg2rad(camera.fovy_deg[0]) / 2.0) / height
    x, y = scale * (spot[0] - 0.5 * width), scale * (0.5 * height - spot[1])
    target = camera.c2w[0, :3, :3] @ torch.stack([x * spot[2], y * spot[2], -spot[2]])
    distance = target.norm() * (1.0 - _HIDDEN)
    seen = depth.reshape(-1)
    if not (seen[near].isfinite() and seen[far] > distance):
        return False
    hits = cast_rays_reference(
        vertices, faces, camera.c2w[:, :3, 3], (target / target.norm())[None]
    )
    return bool(hits.depth > distance and (hits.depth.isinf() or seen[far].isfinite()))
