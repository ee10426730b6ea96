"""DMTet: the contract, starts, gradients, and what happens where there is no surface."""

import re
import warnings
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from redream_kaolin import DMTet
from redream_kaolin.grid import TetrahedralGrid
from redream_kaolin.sheets import sheet_distance

from redream.cameras import sample_cameras, turntable
from redream.meshes.triangles import sphere
from redream.representations import Mesh
from redream.testing import RepresentationContract
from redream.types import key_generator

SMALL = dict(num_levels=3, log2_table_size=10, base_resolution=4, max_resolution=16, hidden=8)
ROOT = Path(__file__).parent.parent


class TestContract(RepresentationContract):
    def make(self, seed):
        return DMTet(seed=seed, resolution=12, **SMALL)


def test_the_entry_point_is_the_class():
    group, name, value = re.search(
        r'entry-points."([\w.]+)"\]\n(\w+) = "(.+)"', (ROOT / "pyproject.toml").read_text("utf-8")
    ).groups()
    assert (group, name) == ("redream.representations", "DMTet")
    assert EntryPoint(name, value, group).load() is DMTet


def test_it_starts_from_a_file_with_its_shape_and_colours(tmp_path):
    vertices, faces = sphere(1.0, 3)
    lines = [
        f"v {7 * x + 2} {7 * y + 2} {7 * z + 2} 1 {0.5 + 0.5 * y} 0\n"
        for x, y, z in vertices.tolist()
    ]
    lines += [f"f {a} {b} {c}\n" for a, b, c in (faces + 1).tolist()]
    (tmp_path / "ball.obj").write_text("".join(lines))
    scene = DMTet(resolution=24, init_from=str(tmp_path / "ball.obj"), **SMALL)
    found, _ = scene.extract_surface(1)
    assert (found.norm(dim=-1) - 0.9).abs().max() < 0.02
    expected = torch.stack(
        [torch.ones(len(found)), 0.5 + found[:, 1] / 1.8, torch.zeros(len(found))], 1
    )
    assert (scene.colors(found) - expected).abs().mean() < 0.05
    with pytest.raises(FileNotFoundError, match="nothing.glb"):
        DMTet(resolution=4, init_from=str(tmp_path / "nothing.glb"))


def test_sheets_become_as_thick_as_the_grid_can_see_and_solids_stay():
    ball, faces = sphere(0.5, 4)
    size = torch.tensor([0.8, 0.7, 0.703])
    sheet = size * torch.tensor([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
    both = torch.cat([ball, sheet])
    both_faces = torch.cat([faces, torch.tensor([[0, 1, 2], [0, 2, 3]]) + len(ball)])
    grid = TetrahedralGrid(24)
    points, cell = grid.vertices(), 2.0 / 24
    assert (sheet_distance(ball, faces, points, cell, key_generator("test", 0)) == -torch.inf).all()
    sdf = sheet_distance(both, both_faces, points, cell, key_generator("test", 0))
    assert (sdf[(points[:, 2] - 0.703).abs() > 0.9 * cell] <= 0).all()
    on_sheet = size * (torch.rand(500, 3) * 1.9 - 0.95)
    on_sheet[:, 2] = 0.703
    cells = ((on_sheet + 1.0) * 12).long()
    number = (cells[:, 0] * 24 + cells[:, 1]) * 24 + cells[:, 2]
    assert (sdf[grid.corners(number)].amax((1, 2, 3)) > 0).all()  # no holes


def test_it_learns_a_shape_from_silhouettes():
    target = Mesh(**SMALL).eval()
    target.vertices.data = target.vertices * torch.tensor([1.4, 0.8, 1.0])
    scene = DMTet(resolution=16, init_radius=0.5, sdf_lr=1e-2, **SMALL)
    optimizer = torch.optim.Adam(scene.parameter_groups(), betas=(0.9, 0.99))

    def error(cameras):
        wanted = target.render(cameras, 32, 32).opacity.detach()
        return (scene.render(cameras, 32, 32).opacity - wanted).abs().mean()

    with torch.no_grad():
        before = error(turntable(4))
    for step in range(60):
        views = scene.render(cameras := sample_cameras(2, key_generator("test", 0, step)), 32, 32)
        wanted = target.render(cameras, 32, 32).opacity.detach()
        loss = ((views.opacity - wanted) ** 2).mean() + 0.01 * views.penalties["eikonal"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert error(turntable(4)) < 0.35 * before


def test_eikonal_is_zero_for_a_distance_and_not_for_its_double():
    scene = DMTet(resolution=24)
    assert scene.eikonal() < 1e-3
    scene.sdf.data *= 2.0
    assert scene.eikonal().item() == pytest.approx(1.0, rel=0.05)


def test_where_nothing_is_inside_it_names_another_distance_and_goes_on():
    scene = DMTet(resolution=16, **SMALL)
    scene.sdf.data -= 2.0
    with pytest.warns(RuntimeWarning, match=r"no surface at a signed distance of 0.*going on"):
        views = scene.render(turntable(1), 16, 16)
    assert views.opacity.max() > 0.5
    views.opacity.sum().backward()
    assert scene.sdf.grad.abs().sum() > 0
    with warnings.catch_warnings():  # said once
        warnings.simplefilter("error")
        assert len(scene.extract_surface(16)[1]) > 0


def test_what_fills_the_box_is_closed_and_a_constant_has_no_surface():
    scene = DMTet(resolution=8, **SMALL)
    scene.sdf.data.fill_(1.0)
    _, faces = scene.extract_surface(8)
    edges = faces[:, [0, 1, 1, 2, 2, 0]].view(-1, 2).sort(1).values
    assert (edges.unique(dim=0, return_counts=True)[1] == 2).all()


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="init_radius"):
        DMTet(resolution=4, init_radius=1.0)
    with pytest.raises(ValueError, match="one cell or more"):
        DMTet(resolution=0)
