import math

import pytest
import torch

from redream.kernels.occupancy import cell_points
from redream.meshes.isosurface import (
    before_softplus,
    extract_isosurface,
    keep_large_components,
)


def balls(resolution, *centres_and_radii):
    """Density 10 at the centre of each ball, 5 on its surface, falling linearly."""
    points = cell_points(resolution, torch.device("cpu"))
    density = torch.zeros(len(points))
    for *centre, radius in centres_and_radii:
        distance = (points - torch.tensor(centre)).norm(dim=-1)
        density = torch.maximum(density, 10.0 - 5.0 * distance / radius)
    return density.clamp_min(0.0).view(resolution, resolution, resolution)


def signed_volume(vertices, faces):
    a, b, c = vertices[faces].double().unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6.0)


def test_a_ball_has_its_volume_and_counter_clockwise_faces():
    vertices, faces = extract_isosurface(balls(40, (0.0, 0.0, 0.0, 0.5)), 5.0)
    assert vertices.dtype == torch.float32
    assert faces.dtype == torch.int64
    assert signed_volume(vertices, faces) == pytest.approx(4 / 3 * math.pi * 0.125, rel=0.02)
    torch.testing.assert_close(
        vertices.norm(dim=-1), torch.full((len(vertices),), 0.5), rtol=0, atol=5e-3
    )


def test_what_was_before_the_softplus_comes_back_and_never_less_than_nothing():
    raw = torch.tensor([-80.0, -20.0, -1.0, 0.0, 3.0, 200.0])
    density = torch.nn.functional.softplus(raw)
    torch.testing.assert_close(before_softplus(density), raw, rtol=1e-5, atol=1e-5)
    assert before_softplus(torch.zeros(1)).isfinite().all()


def test_a_steep_surface_is_where_it_is_once_it_is_straightened():
    points = cell_points(40, torch.device("cpu"))
    raw = 20.0 + 1000.0 * (0.5 - points.norm(dim=-1))  # from empty to opaque within a cell
    density = torch.nn.functional.softplus(raw).view(40, 40, 40)
    bent, straight = (
        extract_isosurface(density, 20.0, straighten=how)[0].norm(dim=-1)
        for how in (None, before_softplus)
    )
    assert (straight - 0.5).abs().max() < 1.5e-3
    assert (bent - 0.5).abs().max() > 4e-3


def test_axes_stay_x_y_z():
    vertices, _ = extract_isosurface(balls(40, (0.1, 0.4, -0.3, 0.25)), 5.0)
    middle = (vertices.amin(0) + vertices.amax(0)) / 2
    torch.testing.assert_close(middle, torch.tensor([0.1, 0.4, -0.3]), rtol=0, atol=0.01)


def test_a_surface_cut_by_the_box_is_closed():
    vertices, faces = extract_isosurface(balls(24, (0.0, 0.9, 0.0, 0.5)), 5.0)
    assert vertices.abs().max() <= 1.0 + 1e-6
    edges = faces[:, [0, 1, 1, 2, 2, 0]].view(-1, 2)
    _, counts = edges.sort(1).values.unique(dim=0, return_counts=True)
    assert (counts == 2).all()


def test_small_components_are_dropped_and_the_largest_always_stays():
    density = balls(48, (-0.4, 0.0, 0.0, 0.4), (0.7, 0.0, 0.0, 0.1))
    vertices, _ = extract_isosurface(density, 5.0, min_share=0.1)
    assert vertices[:, 0].max() < 0.1
    vertices, faces = extract_isosurface(density, 5.0, min_share=0.0)
    assert vertices[:, 0].max() > 0.7
    vertices, faces = keep_large_components(vertices, faces, min_share=2.0)
    assert vertices[:, 0].max() < 0.1
    assert faces.max() == len(vertices) - 1


def test_cavities_are_filled():
    density = balls(40, (0.0, 0.0, 0.0, 0.6))
    density[17:23, 17:23, 17:23] = 0.0
    vertices, faces = extract_isosurface(density, 5.0)
    assert vertices.norm(dim=-1).min() > 0.55
    assert signed_volume(vertices, faces) == pytest.approx(4 / 3 * math.pi * 0.6**3, rel=0.02)


def test_a_field_without_a_surface_names_a_density_that_has_one():
    density = balls(16, (0.0, 0.0, 0.0, 0.5))
    with pytest.raises(ValueError, match="no surface at density 50") as caught:
        extract_isosurface(density, 50.0)
    suggested = float(str(caught.value).split()[-1])
    assert len(extract_isosurface(density, suggested)[1]) > 0
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="field is empty"):
        extract_isosurface(torch.zeros(4, 4, 4), 0.0)
