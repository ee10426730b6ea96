"""Our marching tetrahedra against kaolin 0.18.0's own output, and against geometry."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from redream_kaolin.grid import TetrahedralGrid
from redream_kaolin.marching import marching_tetrahedra

REFERENCE = Path(__file__).parent / "data" / "kaolin_marching_tetrahedra.npz"


def rotated(faces):
    """Faces with their smallest corner first, the winding kept, and then sorted."""
    start = faces.argmin(1, keepdim=True)
    return faces.gather(1, (start + torch.arange(3)) % 3)


def sphere(grid, radius=0.6):
    return radius - grid.vertices().norm(dim=-1)


def signed_volume(vertices, faces):
    a, b, c = vertices[faces].double().unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6.0)


@pytest.fixture(scope="module")
def kaolins():
    with np.load(REFERENCE, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.mark.parametrize("shape", ["sphere", "torus", "random"])
def test_surface_and_gradients_are_kaolins(kaolins, shape):
    vertices = kaolins[f"{shape}_vertices"].requires_grad_()
    sdf = kaolins[f"{shape}_sdf"].requires_grad_()
    surface = marching_tetrahedra(vertices, kaolins[f"{shape}_tets"], sdf)
    expected = kaolins[f"{shape}_mesh_vertices"]
    torch.testing.assert_close(surface.vertices, expected, rtol=0, atol=1e-5)

    theirs = torch.cat(
        [rotated(kaolins[f"{shape}_mesh_faces"]), kaolins[f"{shape}_tet_idx"][:, None]], 1
    )
    ours = torch.cat([rotated(surface.faces), surface.tetrahedra[:, None]], 1)
    assert sorted(ours.tolist()) == sorted(theirs.tolist())

    weights = torch.sin(torch.arange(expected.numel(), dtype=torch.float32)).view_as(expected)
    (surface.vertices * weights).sum().backward()
    for ours, name in ((vertices.grad, "grad_vertices"), (sdf.grad, "grad_sdf")):
        torch.testing.assert_close(ours, kaolins[f"{shape}_{name}"], rtol=1e-5, atol=1e-5)


def test_the_reference_grids_are_kuhn_grids(kaolins):
    for shape, resolution in (("sphere", 8), ("torus", 12), ("random", 4)):
        grid = TetrahedralGrid(resolution)
        torch.testing.assert_close(grid.vertices(), kaolins[f"{shape}_vertices"])
        ours = grid.tetrahedra(grid.all_cells()).sort(1).values
        theirs = kaolins[f"{shape}_tets"].sort(1).values
        assert sorted(ours.tolist()) == sorted(theirs.tolist())


def test_the_grid_fills_the_box_once_and_is_wound_alike():
    grid = TetrahedralGrid(5)
    a, b, c, d = grid.vertices()[grid.tetrahedra(grid.all_cells())].unbind(1)
    volumes = torch.linalg.det(torch.stack([b - a, c - a, d - a], 1)) / 6.0
    torch.testing.assert_close(volumes, torch.full((6 * 125,), -8.0 / (6 * 125)))


def test_a_sphere_is_closed_faces_outward_and_has_its_volume():
    grid = TetrahedralGrid(32)
    surface = marching_tetrahedra(grid.vertices(), grid.tetrahedra(grid.all_cells()), sphere(grid))
    assert signed_volume(*surface[:2]) == pytest.approx(4 / 3 * math.pi * 0.6**3, rel=0.01)
    directed = surface.faces[:, [0, 1, 1, 2, 2, 0]].view(-1, 2)
    assert len(directed.unique(dim=0)) == len(directed)
    assert sorted(directed.tolist()) == sorted(directed.flip(1).tolist())


def test_crossed_cells_alone_give_the_same_surface():
    grid = TetrahedralGrid(16)
    sdf = sphere(grid) + 0.2 * torch.sin(9.0 * grid.vertices()).prod(-1)
    cells = grid.crossed_cells(sdf > 0)
    assert 0 < len(cells) < 16**3 // 2
    whole = marching_tetrahedra(grid.vertices(), grid.tetrahedra(grid.all_cells()), sdf)
    some = marching_tetrahedra(grid.vertices(), grid.tetrahedra(cells), sdf)
    assert torch.equal(some.vertices, whole.vertices)
    assert torch.equal(some.faces, whole.faces)


@pytest.mark.parametrize("case", range(1, 15))
def test_every_sign_pattern_separates_inside_from_outside(case):
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    sdf = torch.tensor([1.0 if case >> i & 1 else -1.0 for i in range(4)])
    surface = marching_tetrahedra(corners, torch.tensor([[0, 2, 1, 3]]), sdf)
    num_inside = int((sdf > 0).sum())
    assert len(surface.faces) == (2 if num_inside == 2 else 1)
    a, b, c = surface.vertices[surface.faces].unbind(1)
    normals = torch.linalg.cross(b - a, c - a)
    for corner, value in zip(corners, sdf, strict=True):
        assert (((a - corner) * normals).sum(-1) * value > 0).all()


def test_gradients_equal_finite_differences():
    grid = TetrahedralGrid(3)
    vertices, tetrahedra = grid.vertices().double(), grid.tetrahedra(grid.all_cells())
    sdf = torch.randn(grid.num_vertices, dtype=torch.float64)

    def positions(vertices, sdf):
        return marching_tetrahedra(vertices, tetrahedra, sdf).vertices

    inputs = (vertices.requires_grad_(), sdf.requires_grad_())
    assert torch.autograd.gradcheck(positions, inputs, fast_mode=True)


def test_nothing_crossed_gives_nothing():
    grid = TetrahedralGrid(2)
    cells = grid.all_cells()
    for sdf in (torch.ones(27), -torch.ones(27), torch.zeros(27)):
        surface = marching_tetrahedra(grid.vertices(), grid.tetrahedra(cells), sdf)
        assert [tuple(part.shape) for part in surface] == [(0, 3), (0, 3), (0,)]
        assert len(grid.crossed_cells(sdf > 0)) == 0
    with pytest.raises(ValueError, match="one cell or more"):
        TetrahedralGrid(0)
