import pytest
import torch

from redream.kernels.distance import signed_distance, signed_distance_reference
from redream.meshes.triangles import sphere

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def test_a_sphere_has_its_distances():
    vertices, faces = sphere(0.6, 5)
    points = 2.0 * torch.rand(2000, 3) - 1.0
    expected = 0.6 - points.norm(dim=-1)
    torch.testing.assert_close(
        signed_distance(vertices, faces, points), expected, rtol=0, atol=2e-3
    )


@pytest.mark.parametrize("device", DEVICES)
def test_it_agrees_with_trying_every_triangle(device):
    vertices, faces = sphere(0.6, 2)
    vertices = vertices * torch.tensor([1.0, 0.4, 1.3]) + 0.05 * torch.randn(vertices.shape)
    points = 2.0 * torch.rand(500, 3) - 1.0
    expected = signed_distance_reference(vertices.double(), faces, points.double())
    found = signed_distance(vertices.to(device), faces.to(device), points.to(device)).cpu()
    torch.testing.assert_close(found, expected.float(), rtol=0, atol=1e-5)
    assert (expected > 0).any()


def test_a_mesh_with_a_hole_has_an_inside():
    vertices, faces = sphere(0.6, 3)
    open_faces = faces[vertices[faces].mean(1)[:, 1] < 0.5]
    assert len(open_faces) < len(faces)
    middle = torch.tensor([[0.0, -0.2, 0.0], [0.0, 0.0, 0.9], [0.0, 0.9, 0.0]])
    signs = signed_distance(vertices, open_faces, middle).sign()
    assert signs.tolist() == [1.0, -1.0, -1.0]
