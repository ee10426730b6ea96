"""How true a model is to its particle, where the particle's own views do not show its colours."""

import pytest
import torch

from redream.assets import AssetRenderer
from redream.export.atlas import textured_mesh
from redream.export.fidelity import compare, comparison_cameras
from redream.export.models import ModelExport
from redream.export.texels import Texels, texel_colors
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


def test_a_model_that_is_its_particle_is_true_to_the_last_pixel(geometry):
    """Drawn a ray a pixel, as a radiance field is: its staircase is no error of the model."""
    particle, model, _ = geometry
    drawn = AssetRenderer(model)

    class Drawn(Mesh):
        def render(self, cameras, height, width):
            return drawn.render(cameras, height, width, supersample=1)

    same = Drawn(num_levels=2, log2_table_size=8, hidden=8, learn_background=False)
    fidelity = compare(same, model, comparison_cameras(), 16)
    assert fidelity.psnr_db == 100.0 and fidelity.silhouette_iou == 1.0
    smaller = model._replace(vertices=0.95 * model.vertices)
    assert compare(same, smaller, comparison_cameras(), 16).psnr_db < 25.0


@pytest.mark.parametrize(
    ("options", "texture", "expected"),
    [
        ({"picture_size": 64}, 800, 192),  # as the embedded world has it
        ({"picture_size": 512}, 800, 200),  # a quarter of the texture
        ({"picture_size": 512}, 4096, 512),  # what was trained reaches the texture
        ({"picture_size": 64, "baking_size": 384}, 2048, 384),
    ],
)
def test_a_texture_is_taken_from_views_as_large_as_were_trained(
    options, texture, expected, monkeypatch
):
    asked = []
    export = ModelExport(**options)
    texels = Texels(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(texture, 1).bool())

    def shown(particle, vertices, faces, points, normals, size):
        asked.append(size)
        return torch.zeros(2, 3), torch.zeros(2)

    monkeypatch.setattr("redream.export.texels.shown_colors", shown)
    particle = Mesh(num_levels=2, log2_table_size=8, hidden=8, learn_background=False)
    particle.is_soft = True
    texel_colors(particle, None, None, texels, export.baking_size)
    assert asked == [expected]


def test_a_size_of_no_pixels_is_refused():
    with pytest.raises(ValueError, match="baking_size"):
        ModelExport(baking_size=0)
