import numpy as np
import pytest
import torch
import trimesh

from redream.meshes import manifold
from redream.meshes.simplify import simplify
from redream.meshes.soundness import inspect_surface
from redream.meshes.triangles import area_normals, sphere


def mend(vertices, faces):
    """The surface alone."""
    return manifold.mend(vertices, faces)[:2]


def tensors(mesh):
    return torch.from_numpy(mesh.vertices).float(), torch.from_numpy(mesh.faces).long()


def boxes_at_an_edge():
    """Two cubes that share one edge and nothing else: four triangles there."""
    one = trimesh.creation.box([1, 1, 1])
    other = one.copy().apply_translation([1, 1, 0])
    joined = trimesh.util.concatenate([one, other])
    joined.merge_vertices()
    return tensors(joined)


def voxels(solid):
    """The surface of a set of unit cubes: the sides with a cube on one side only."""
    cells = {tuple(cell) for cell in solid.nonzero().tolist()}
    places, faces = {}, []
    for cell in sorted(cells):
        for axis in range(3):
            for out in (0, 1):
                beside = list(cell)
                beside[axis] += 2 * out - 1
                if tuple(beside) in cells:
                    continue
                quad = []
                for j, k in ((0, 0), (1, 0), (1, 1), (0, 1)):
                    corner = list(cell)
                    corner[axis] += out
                    corner[(axis + 1) % 3] += j
                    corner[(axis + 2) % 3] += k
                    quad.append(places.setdefault(tuple(corner), len(places)))
                a, b, c, d = quad if out else quad[::-1]
                faces += [(a, b, c), (a, c, d)]
    return torch.tensor(list(places)).float(), torch.tensor(faces)


def volume(vertices, faces):
    a, b, c = vertices.double()[faces].unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6.0)


def test_a_sound_surface_stays_as_it_is():
    vertices, faces = sphere(0.5, 2)
    mended = mend(vertices, faces)
    corners = mended[0][mended[1]]
    assert torch.equal(corners, vertices[faces])
    assert inspect_surface(*mended) == inspect_surface(vertices, faces)


def test_what_touches_at_an_edge_is_taken_apart():
    vertices, faces = boxes_at_an_edge()
    assert inspect_surface(vertices, faces).num_nonmanifold_edges == 1
    mended = mend(vertices, faces)
    found = inspect_surface(*mended)
    assert found.is_watertight and found.num_components == 2
    assert volume(*mended) == pytest.approx(2.0, rel=0.01)  # paired by the inside, not across it
    assert trimesh.Trimesh(mended[0].numpy(), mended[1].numpy(), process=False).is_watertight


def test_an_edge_whose_ends_cannot_be_parted_gets_another_middle():
    """A ring of boxes, closed on itself at one edge: both its vertices go on to either side."""
    solid = torch.zeros(3, 3, 1, dtype=torch.bool)
    for x, y in [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (0, 1)]:
        solid[x, y] = True
    solid[1, 0] = False  # (0, 0) and (1, 1) touch at an edge, and so do (1, 1) and (2, 0)
    solid[1, 1] = True
    found = inspect_surface(*mend(*voxels(solid)))
    assert found.is_watertight and found.num_nonmanifold_edges == 0


def test_triangles_on_the_same_corners_cancel_out():
    vertices, faces = sphere(0.5, 1)
    fin = torch.tensor([[0, 1, 2], [2, 1, 0]])
    _, mended = mend(vertices, torch.cat([faces, fin]))
    assert inspect_surface(vertices, mended).is_watertight


def test_open_borders_stay():
    vertices, faces = sphere(0.5, 1)
    mended = mend(vertices, faces[1:])
    assert inspect_surface(*mended).num_boundary_edges == 3


@pytest.mark.parametrize("num_faces", [16, 200, 1000])
def test_fewer_faces_on_a_surface_that_stays_closed(num_faces):
    vertices, faces = tensors(trimesh.creation.torus(0.6, 0.2, 48, 24))
    before = inspect_surface(vertices, faces)
    fewer = simplify(vertices, faces, num_faces)
    after = inspect_surface(*fewer)
    assert before.is_watertight and after.is_watertight
    assert after.num_faces <= num_faces
    if num_faces >= 200:
        assert volume(*fewer) == pytest.approx(volume(vertices, faces), rel=0.05)


def spheres(num, radius=0.05, subdivisions=2):
    """Spheres far from one another, some of them large enough for most of the faces."""
    rng = np.random.default_rng(0)
    at = rng.permutation(np.stack(np.meshgrid(*[np.linspace(-1, 1, 8)] * 3), -1).reshape(-1, 3))
    parts = [trimesh.creation.icosphere(subdivisions, radius) for _ in range(num)]
    for part, place in zip(parts, at, strict=False):
        part.vertices *= 1.0 + 0.1 * rng.normal(size=(len(part.vertices), 1))
        part.apply_translation(place)
    return tensors(trimesh.util.concatenate(parts))


@pytest.mark.parametrize("num_faces", [40_000, 20_000])
def test_every_part_stays_however_small(num_faces):
    """Four hundred bolts are each a quarter of a percent of their engine."""
    vertices, faces = spheres(400)
    fewer = simplify(vertices, faces, num_faces)
    found = inspect_surface(*fewer)
    assert found.num_components == 400 and found.is_watertight
    assert 0.9 * num_faces < found.num_faces <= num_faces


def test_leaves_of_two_triangles_stay_beside_their_trunk():
    trunk = trimesh.creation.icosphere(5, 0.3)
    rng = np.random.default_rng(0)
    leaves = []
    for _ in range(300):
        corner, (along, across) = rng.uniform(-1, 1, 3), 0.05 * rng.normal(size=(2, 3))
        quad = corner + np.array([[0, 0, 0], along, along + across, across])
        leaves.append(trimesh.Trimesh(quad, [[0, 1, 2], [0, 2, 3]], process=False))
    vertices, faces = tensors(trimesh.util.concatenate([trunk, *leaves]))
    points, _ = simplify(vertices, faces, 8000)
    reach = [vertices.max(0).values - vertices.min(0).values for vertices in (vertices, points)]
    torch.testing.assert_close(reach[1], reach[0], rtol=0.1, atol=0)  # a leaf may lose a corner
    assert inspect_surface(*simplify(vertices, faces, 8000)).num_components == 301


def sheet(num=30):
    """A wavy sheet, and the same with every triangle's other side."""
    x, y = torch.meshgrid(*[torch.linspace(-1, 1, num)] * 2, indexing="ij")
    vertices = torch.stack([x, y, 0.1 * torch.sin(5 * x)], -1).reshape(-1, 3)
    first = (torch.arange(num - 1)[:, None] * num + torch.arange(num - 1)).reshape(-1)
    quads = torch.stack([first, first + 1, first + num, first + num + 1], 1)
    faces = torch.cat([quads[:, [0, 2, 1]], quads[:, [1, 2, 3]]])
    return vertices, faces


@pytest.mark.parametrize("twin", [[0, 2, 1], [0, 1, 2]])  # the other side, or the same again
def test_a_sheet_of_two_sides_keeps_one_and_its_reach(twin):
    vertices, faces = sheet()
    points, corners = simplify(vertices, torch.cat([faces, faces[:, twin]]), 500)
    assert 400 < len(corners) <= 500
    for end in ("amin", "amax"):
        before, after = (getattr(torch, end)(each, 0) for each in (vertices, points))
        torch.testing.assert_close(after, before, atol=0.06, rtol=0)
    area = [
        float(area_normals(*surface).norm(dim=1).sum())
        for surface in ((vertices, faces), (points, corners))
    ]
    assert area[1] == pytest.approx(area[0], rel=0.03)


def test_two_sides_alone_are_made_one_without_collapsing():
    vertices, faces = sheet()
    points, corners = simplify(vertices, torch.cat([faces, faces.flip(1)]), len(faces))
    assert points is vertices and torch.equal(corners, faces)


def test_a_part_that_collapsing_would_eat_stays_beside_a_large_one():
    vertices, faces = tensors(trimesh.creation.torus(0.6, 0.2, 48, 24))
    small = tensors(trimesh.creation.icosphere(1, 0.01).apply_translation([2, 0, 0]))
    both = torch.cat([vertices, small[0]]), torch.cat([faces, small[1] + len(vertices)])
    assert inspect_surface(*simplify(*both, 300)).num_components == 2


def test_nothing_changes_where_there_are_no_more_faces():
    vertices, faces = sphere(0.5, 1)
    assert simplify(vertices, faces, 32)[1] is faces


@pytest.mark.parametrize(
    ("mesh", "expected"),
    [
        (trimesh.creation.box(), (1, 0, 0, True)),
        (trimesh.creation.annulus(0.2, 0.5, 1.0), (1, 0, 0, True)),
        (trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]]), (1, 3, 0, False)),
    ],
)
def test_soundness_counts_as_trimesh_does(mesh, expected):
    found = inspect_surface(*tensors(mesh))
    assert found[2:] == expected
    assert found.is_watertight == mesh.is_watertight
    assert (found.num_faces, found.num_vertices) == (len(mesh.faces), len(mesh.vertices))


def test_split_vertices_are_one_place():
    vertices, faces = sphere(0.5, 1)
    apart = vertices[faces].reshape(-1, 3), torch.arange(faces.numel()).view(-1, 3)
    assert inspect_surface(*apart) == inspect_surface(vertices, faces)


def test_the_real_lattice_of_touching_cubes_is_mended():
    """Random voxels touch in every way that cubes can."""
    solid = torch.rand(6, 6, 6, generator=torch.Generator().manual_seed(0)) < 0.5
    vertices, faces = voxels(solid)
    found = inspect_surface(*mend(vertices, faces))
    assert inspect_surface(vertices, faces).num_nonmanifold_edges > 30
    assert found.is_watertight
    mended = mend(vertices, faces)
    assert volume(*mended) == pytest.approx(float(solid.sum()), rel=0.01)
