"""Geometry and regularisers of triangle meshes."""

import math

import pytest
import torch

from redream.kernels.outlines import find_edges
from redream.meshes.triangles import (
    area_normals,
    at_barycentric,
    is_closed,
    sample_surface,
    sphere,
    vertex_normals,
    weld,
)
from redream.representations.surface_regularizers import laplacian, normal_consistency


def test_a_sphere_is_closed_round_and_faces_outward():
    vertices, faces = sphere(0.7, 3)
    assert len(faces) == 8 * 4**3
    torch.testing.assert_close(vertices.norm(dim=-1), torch.full((len(vertices),), 0.7))
    assert len(vertices) - len(find_edges(faces).corners) + len(faces) == 2  # Euler
    outward = area_normals(vertices, faces) * vertices[faces].sum(1)
    assert (outward.sum(-1) > 0).all()
    assert ((vertex_normals(vertices, faces) * vertices / 0.7).sum(-1) > 0.998).all()


def test_welding_undoes_splitting_and_drops_what_has_no_area():
    vertices, faces = sphere(0.5, 2)
    split = torch.cat([vertices[faces].view(-1, 3), torch.tensor([[9.0, 9.0, 9.0]])])
    split_faces = torch.arange(3 * len(faces)).view(-1, 3)
    split_faces = torch.cat([split_faces, torch.tensor([[0, 0, 1]])])
    found, found_faces = weld(split, split_faces)
    assert len(found) == len(vertices)
    torch.testing.assert_close(found[found_faces], vertices[faces])


def test_a_surface_is_closed_where_its_edges_have_two_faces():
    vertices, faces = sphere(0.5, 2)
    split, split_faces = vertices[faces].view(-1, 3), torch.arange(3 * len(faces)).view(-1, 3)
    assert is_closed(split, split_faces)
    assert not is_closed(vertices, faces[: len(faces) // 2])
    assert is_closed(vertices, faces[1:], min_share=0.98)


def test_samples_are_uniform_by_area():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0], [8, 0, 0], [5, 1, 0]])
    faces = torch.tensor([[0, 1, 2], [3, 4, 5]])
    face, weights = sample_surface(vertices, faces, 20_000, torch.Generator().manual_seed(0))
    assert (face == 1).float().mean().item() == pytest.approx(0.75, abs=0.02)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(20_000))
    points = at_barycentric(vertices, faces, face, weights)
    torch.testing.assert_close(points[face == 0].mean(0), torch.tensor([1 / 3, 1 / 3, 0]),
                               rtol=0, atol=0.02)  # fmt: skip


@pytest.mark.parametrize("angle_deg", [0.0, 60.0, 90.0, 150.0])
def test_normal_consistency_is_that_of_the_angle_between_two_faces(angle_deg):
    angle = math.radians(angle_deg)
    vertices = torch.tensor(
        [[0.0, 0, 0], [0, 1, 0], [1, 0, 0], [-math.cos(angle), 0, math.sin(angle)]],
        requires_grad=True,
    )
    faces = torch.tensor([[0, 2, 1], [0, 1, 3]])
    value = normal_consistency(vertices, faces, find_edges(faces))
    assert value.item() == pytest.approx(1.0 - math.cos(angle), abs=1e-6)
    value.backward()
    assert vertices.grad.isfinite().all()


def test_the_laplacian_is_zero_inside_a_regular_plane_and_grows_with_bumps():
    axis = torch.arange(6.0)
    vertices = torch.stack(torch.meshgrid(axis, axis, torch.zeros(1), indexing="ij"), -1).view(
        -1, 3
    )
    cell = torch.tensor([6 * i + j for i in range(5) for j in range(5)])[:, None]
    faces = torch.cat([cell + torch.tensor([0, 6, 7]), cell + torch.tensor([0, 7, 1])])
    edges = find_edges(faces)
    flat = laplacian(vertices, edges)
    vertices[14, 2] = 1.0  # 6 neighbours, each of which sees a sixth of it
    assert (laplacian(vertices, edges) - flat).item() == pytest.approx((1 + 6 / 36) / 36, rel=1e-4)


def test_no_faces_give_zero():
    nothing, faces = torch.zeros(0, 3, requires_grad=True), torch.zeros(0, 3, dtype=torch.long)
    edges = find_edges(faces)
    value = normal_consistency(nothing, faces, edges) + laplacian(nothing, edges)
    assert value.item() == 0.0


def test_a_face_without_area_pulls_at_nothing():
    """Its corners fall together, as where a DMTet's sdf is 0 to the last bit."""
    vertices, faces = sphere(0.5, 1)
    vertices = torch.cat([vertices, vertices[faces[0, :1]]]).requires_grad_()
    a, b, c = faces[0].tolist()
    split = torch.tensor([[a, b, len(vertices) - 1], [len(vertices) - 1, b, c]])
    both = torch.cat([faces[1:], split])
    value = normal_consistency(vertices, both, find_edges(both))
    plain = float(normal_consistency(vertices, faces, find_edges(faces)).detach())
    (gradient,) = torch.autograd.grad(value, vertices)
    assert gradient.isfinite().all() and gradient.abs().max() < 10.0
    assert 0.8 * plain < float(value.detach()) <= plain
