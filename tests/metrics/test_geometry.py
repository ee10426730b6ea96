"""Geometry against truth, on spheres and boxes whose distances are known."""

import pytest
import torch
import trimesh

from redream.metrics import GeometryTruth
from redream.metrics.geometry import agreement, sample_surface


def sphere(radius, centre=(0.0, 0.0, 0.0)):
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    return (
        torch.tensor(mesh.vertices + centre, dtype=torch.float32),
        torch.tensor(mesh.faces, dtype=torch.long),
    )


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    path = tmp_path_factory.mktemp("truth") / "sphere.ply"
    trimesh.creation.icosphere(subdivisions=3, radius=3.0).export(path)
    return path  # loaded as radius 0.9


def test_the_truth_agrees_with_itself(truth):
    measures = GeometryTruth(truth, num_points=5000).measure_surface(*sphere(0.9))
    assert measures["f_score"] == measures["precision"] == measures["recall"] == 1.0
    assert measures["chamfer"] < 1e-3  # the file is in float32


def test_concentric_spheres_are_as_far_apart_as_their_radii(truth):
    metric = GeometryTruth(truth, threshold=0.2, num_points=5000)
    assert metric.measure_surface(*sphere(0.6))["chamfer"] == pytest.approx(0.3, abs=0.01)
    assert metric.measure_surface(*sphere(0.6))["f_score"] == 0.0
    assert metric.measure_surface(*sphere(0.75))["f_score"] == 1.0


def test_half_of_the_truth_has_half_of_its_recall(truth):
    vertices, faces = sphere(0.9)
    half = faces[vertices[faces].mean(dim=1)[:, 2] > 0]
    measures = GeometryTruth(truth, threshold=0.05, num_points=5000).measure_surface(vertices, half)
    assert measures["precision"] == 1.0
    assert measures["recall"] == pytest.approx(0.5 + 0.05 / 0.9 / 2, abs=0.03)
    assert measures["f_score"] == pytest.approx(
        2 * measures["recall"] / (1 + measures["recall"]), rel=1e-6
    )


def test_it_falls_as_noise_and_a_second_head_grow(truth):
    metric = GeometryTruth(truth, num_points=5000)
    vertices, faces = sphere(0.9)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(vertices.shape, generator=generator)
    noisy = [metric.measure_surface(vertices + s * noise, faces) for s in (0.0, 0.03, 0.1, 0.3)]
    for name, falls in (("f_score", True), ("chamfer", False)):
        values = [each[name] for each in noisy]
        assert values == sorted(values, reverse=falls) and len(set(values)) == 4
    heads = []
    for radius in (0.1, 0.3, 0.6):  # glued on behind, ever larger
        more, triangles = sphere(radius, (0.0, 0.0, -0.9))
        both = torch.cat([vertices, more]), torch.cat([faces, triangles + len(vertices)])
        heads.append(metric.measure_surface(*both)["precision"])
    assert 1.0 > heads[0] > heads[1] > heads[2]


def test_size_counts_unless_it_is_fitted(truth):
    moved, faces = sphere(0.4, (0.3, 0.0, 0.1))
    assert GeometryTruth(truth, num_points=5000).measure_surface(moved, faces)["f_score"] < 0.1
    assert (
        GeometryTruth(truth, fit=True, num_points=5000).measure_surface(moved, faces)["f_score"]
        == 1.0
    )


def test_an_object_without_a_surface_scores_nothing(truth):
    none = torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long)
    assert GeometryTruth(truth, num_points=5000).measure_surface(*none) == {
        "precision": 0.0,
        "recall": 0.0,
        "f_score": 0.0,
    }


def test_points_are_uniform_by_area():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [4, 0, 0], [5, 0, 0], [4, 9, 0]])
    faces = torch.tensor([[0, 1, 2], [3, 4, 5], [0, 0, 1]])  # areas 1/2, 9/2 and none
    points = sample_surface(vertices, faces, 20_000, torch.Generator().manual_seed(0))
    large = points[:, 0] >= 4
    assert float(large.float().mean()) == pytest.approx(0.9, abs=0.01)
    centroid = points[large].mean(dim=0)
    torch.testing.assert_close(centroid, torch.tensor([13 / 3, 3.0, 0.0]), atol=0.05, rtol=0)


def test_agreement_of_a_few_distances():
    found = agreement(torch.tensor([1.0]), torch.tensor([5.0, 1.0]), 1.0)
    assert found.chamfer == pytest.approx((1 + (5 + 1) / 2) / 2)
    assert (found.precision, found.recall) == (1.0, 0.5)
    assert found.f_score == pytest.approx(2 / 3)
    assert agreement(torch.tensor([2.0]), torch.tensor([2.0]), 1.0).f_score == 0.0
