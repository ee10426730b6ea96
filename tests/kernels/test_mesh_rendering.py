"""Fragments and silhouettes: against references, closed forms, and finite differences."""

import math

import pytest
import torch

from redream.cameras import Cameras, orbit, turntable
from redream.kernels.fragments import cast_visibility, fragments
from redream.kernels.outlines import find_edges, outline_sides, project
from redream.kernels.raycast import RayCaster
from redream.kernels.silhouettes import blend, find_crossings, find_crossings_reference

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
CAMERA = Cameras(*(each.double() for each in orbit(*torch.tensor([[25.0], [15.0], [3.0], [40.0]]))))
FRONT = orbit(*torch.tensor([[0.0], [0.0], [3.0], [40.0]]))


def octahedron():
    """A closed mesh whose corners lie off every symmetry of the picture."""
    vertices = torch.tensor(
        [
            [0.71, 0.1, 0],
            [-0.7, 0, 0.11],
            [0.03, 0.8, 0],
            [0, -0.6, 0.1],
            [0.1, 0, 0.7],
            [0, 0, -0.7],
        ]
    )
    faces = [[i, j, k] for i in (0, 1) for j in (2, 3) for k in (4, 5)]
    return vertices.double(), torch.tensor(faces)


def sphere(num_rings, num_sides, radius=0.8):
    """A closed sphere; its poles are single vertices."""
    polar = torch.linspace(0, torch.pi, num_rings + 1)[1:-1, None]
    around = torch.arange(num_sides) * (2 * torch.pi / num_sides)
    rings = [
        polar.sin() * around.sin(),
        polar.cos().expand(-1, num_sides),
        polar.sin() * around.cos(),
    ]
    poles = torch.tensor([[0.0, 1, 0], [0, -1, 0]])
    vertices = torch.cat([torch.stack(rings, -1).reshape(-1, 3), poles]) * radius
    ring, side = torch.meshgrid(torch.arange(num_rings - 2), torch.arange(num_sides), indexing="ij")
    a, b = ring * num_sides + side, ring * num_sides + (side + 1) % num_sides
    quads = torch.stack([a, a + num_sides, b + num_sides, a, b + num_sides, b], -1).reshape(-1, 3)
    first = torch.arange(num_sides)
    following, last = (first + 1) % num_sides, (num_rings - 2) * num_sides
    top = torch.stack([torch.full_like(first, len(vertices) - 2), first, following], -1)
    bottom = torch.stack([torch.full_like(first, len(vertices) - 1), following, first], -1)
    bottom[:, 1:] += last
    return vertices, torch.cat([quads, top, bottom])


def square(size, z, x=0.0, y=0.0):
    corners = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * size
    return corners + torch.tensor([x, y, z]), torch.tensor([[0, 1, 2], [0, 2, 3]])


def depth_of(fragments_, shape):
    depth = torch.full((math.prod(shape),), torch.inf, dtype=fragments_.depth.dtype)
    depth = depth.to(fragments_.depth.device)
    depth[fragments_.pixel] = fragments_.depth.detach()
    return depth.view(shape)


def picture(vertices, faces, cameras, size, smooth=True):
    """Opacity and position of what is seen, anti-aliased: ``B H W 4``."""
    seen = cast_visibility(vertices, faces, cameras, size, size)
    found = fragments(vertices, faces, cameras, seen)
    image = vertices.new_zeros(seen.numel(), 4).index_copy(
        0, found.pixel, torch.cat([torch.ones_like(found.points[:, :1]), found.points], 1)
    )
    if smooth:
        caster = RayCaster(vertices, faces, vertices.device)
        depth = depth_of(found, seen.shape)
        image = blend(image, find_crossings(vertices, find_edges(faces), cameras, depth, caster))
    return image.view(*seen.shape, 4)


def test_fragments_lie_on_their_triangles_and_on_their_rays():
    vertices, faces = octahedron()
    seen = cast_visibility(vertices, faces, CAMERA, 24, 20)
    found = fragments(vertices, faces, CAMERA, seen)
    assert 50 < len(found.pixel) < 24 * 20
    torch.testing.assert_close(found.interpolate(faces, vertices), found.points)
    torch.testing.assert_close(
        CAMERA.c2w[0, :3, 3] + found.depth[:, None] * found.directions, found.points
    )
    assert (found.barycentric > -1e-5).all()
    row_column = torch.stack([found.pixel // 20, found.pixel % 20], -1) + 0.5
    screen = project(found.points, CAMERA, 24, 20)[0]
    torch.testing.assert_close(screen[:, [1, 0]], row_column.double(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("soup", [False, True])
def test_crossings_are_those_of_trying_everything(soup):
    vertices, faces = octahedron()
    if soup:  # triangles of their own, one before the other, some cut by the picture's border
        vertices = 0.9 * torch.rand(24, 3, dtype=torch.float64) * torch.tensor([2, 2, 1.0]) - 0.9
        faces = torch.arange(24).view(8, 3)
    seen = cast_visibility(vertices, faces, CAMERA, 11, 13)
    depth = depth_of(fragments(vertices, faces, CAMERA, seen), seen.shape)
    caster = RayCaster(vertices, faces)
    fast = find_crossings(vertices, find_edges(faces), CAMERA, depth, caster)
    slow = find_crossings_reference(vertices, faces, CAMERA, depth)

    def rows(crossings):
        return sorted(zip(*(column.tolist() for column in crossings), strict=True))

    assert len(slow.near) > 10
    torch.testing.assert_close(torch.tensor(rows(fast)), torch.tensor(rows(slow)))


def test_gradients_equal_finite_differences_in_double_precision():
    vertices, faces = octahedron()
    weights = torch.randn(12, 12, 4, dtype=torch.float64)

    def loss(vertices):
        return (picture(vertices, faces, CAMERA, 12)[0] * weights).sum()

    assert torch.autograd.gradcheck(loss, [vertices.requires_grad_()], eps=1e-7, atol=1e-4)


@pytest.mark.parametrize("device", DEVICES)
def test_covered_area_and_its_derivative_are_those_of_a_sphere(device):
    """Triangles are smaller than pixels; the outline is a circle of known area."""
    vertices, faces = (each.to(device) for each in sphere(80, 120))
    vertices.requires_grad_()
    size, radius, distance = 48, 0.8, 3.0
    camera = orbit(*torch.tensor([[30.0], [20.0], [distance], [40.0]])).to(device)
    opacity = picture(vertices, faces, camera, size)[..., 0]
    focal = 0.5 * size / math.tan(math.radians(20.0))
    area = math.pi * focal**2 * radius**2 / (distance**2 - radius**2)
    assert opacity.sum().item() == pytest.approx(area, rel=2e-3)
    opacity.sum().backward()
    slope = (vertices.grad * vertices.detach()).sum().item() / radius
    expected = 2 * math.pi * focal**2 * radius * distance**2 / (distance**2 - radius**2) ** 2
    assert slope == pytest.approx(expected, rel=0.03)


def test_pixels_are_nearer_to_their_true_coverage_than_without():
    vertices, faces = sphere(40, 40)
    vertices[:, 1] += 0.3 * torch.sin(4.0 * vertices[:, 0])
    hard, smooth = (picture(vertices, faces, FRONT, 40, each)[0, ..., 0] for each in (False, True))
    fine = picture(vertices, faces, FRONT, 40 * 8, smooth=False)[..., 0]
    true = fine.view(40, 8, 40, 8).mean((1, 3))
    assert (smooth - true).abs().sum() < 0.2 * (hard - true).abs().sum()
    assert ((smooth >= 0) & (smooth <= 1)).all()


def test_an_edge_that_moves_by_less_than_a_pixel_moves_the_picture_linearly():
    pixel = 2 * 3.0 * math.tan(math.radians(20.0)) / 16
    covered = []
    for shift in torch.linspace(0.0, 2.0, 9):
        vertices, faces = square(10.0, 0.0, x=-10.0)  # everything left of the middle
        vertices[:, 0] += shift * pixel
        covered.append(picture(vertices, faces, FRONT, 16)[0, 5, :, 0].sum().item())
    assert covered == pytest.approx([8.0 + 0.25 * i for i in range(9)], abs=1e-3)


def joined(*meshes):
    offsets = torch.tensor([0, *[len(vertices) for vertices, _ in meshes]]).cumsum(0)
    faces = [faces + offset for (_, faces), offset in zip(meshes, offsets[:-1], strict=True)]
    return torch.cat([vertices for vertices, _ in meshes]), torch.cat(faces)


def test_hidden_outlines_leave_no_trace_and_shown_ones_blend_what_is_behind():
    large, small = square(0.5, 0.0), square(0.23, -0.5)
    alone = picture(*large, FRONT, 32)
    behind = picture(*joined(large, small), FRONT, 32)
    torch.testing.assert_close(behind, alone)
    before = picture(*joined(large, square(0.23, 0.5)), FRONT, 32)
    torch.testing.assert_close(before[..., 0], alone[..., 0])
    depths = before[0, 16, :, 3].unique()
    assert len(depths) > 2  # 0, 0.5, and blends of the two squares' depths
    assert ((depths >= 0) & (depths <= 0.5)).all()


def test_outlines_do_not_depend_on_the_winding():
    vertices, faces = octahedron()
    flipped = faces.clone()
    flipped[::2] = flipped[::2].flip(1)
    before, after = (picture(vertices, each, CAMERA, 16) for each in (faces, flipped))
    torch.testing.assert_close(before, after)
    screen = project(vertices, CAMERA, 16, 16)
    sides = outline_sides(find_edges(faces), screen)
    assert 3 <= (sides != 0).sum() < 12


def test_what_is_behind_the_camera_or_missing_gives_finite_pictures():
    vertices, faces = sphere(8, 8)
    vertices = (vertices * 6.0).requires_grad_()  # the camera stands inside
    image = picture(vertices, faces, FRONT, 8)
    assert image[..., 0].min() == 1.0
    image.sum().backward()
    assert vertices.grad.isfinite().all()
    nothing = torch.zeros(0, 3)
    empty = picture(nothing, torch.zeros(0, 3, dtype=torch.long), turntable(2), 8)
    assert empty.shape == (2, 8, 8, 4)
    assert empty.abs().sum() == 0


def test_views_do_not_mix():
    vertices, faces = octahedron()
    cameras = Cameras(*(each.double() for each in turntable(3)))
    together = picture(vertices, faces, cameras, 16)
    for i in range(3):
        alone = picture(vertices, faces, cameras.select(slice(i, i + 1)), 16)
        torch.testing.assert_close(together[i], alone[0])
