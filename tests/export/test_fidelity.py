"""How true a model is to its particle, where the particle's own views do not show its colours."""

import pytest

from redream.export.atlas import textured_mesh
from redream.export.fidelity import compare, comparison_cameras
from redream.representations import Mesh


@pytest.fixture(scope="module")
def geometry():
    """A ball of many colours, its model, and what the two have in common by their colours."""
    particle = Mesh(num_levels=2, log2_table_size=8, hidden=8, learn_background=False)
    model = textured_mesh(particle, texture_size=128)
    return particle, model, compare(particle, model, comparison_cameras(), 24)


@pytest.mark.parametrize("shading", ["normal", "camera_normal"])
def test_a_geometry_that_is_distilled_by_its_normals_is_compared_by_its_colours(geometry, shading):
    particle, model, by_color = geometry
    assert by_color.psnr_db > 25.0 and by_color.silhouette_iou > 0.9
    particle.shading = shading
    assert compare(particle, model, comparison_cameras(), 24) == by_color
    assert particle.shading == shading


def test_a_comparison_that_fails_leaves_the_particle_as_it_was(geometry, monkeypatch):
    particle, model, _ = geometry
    particle.shading = "camera_normal"

    def fail(*_):
        raise OSError("no memory")

    monkeypatch.setattr(particle, "render", fail)
    with pytest.raises(OSError, match="no memory"):
        compare(particle, model, comparison_cameras(), 24)
    assert particle.shading == "camera_normal"
