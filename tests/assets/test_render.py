import math

import pytest
import torch
from fabricated import BLUE, GREEN, RED, make_box, make_quad, quadrant_picture, stack

from redream.assets import AssetRenderer
from redream.assets.sampling import look_up
from redream.cameras import orbit, turntable
from redream.types import Material, Sampler

COLORS = {"+z": RED, "+x": GREEN, "-z": BLUE}


def test_azimuth_shows_front_then_right_then_back():
    views = AssetRenderer(make_box(COLORS)).render(turntable(4, elevation_deg=0.0), 16, 16)
    middle = views.rgb[:, :, 8, 8]
    truth = torch.tensor([RED, GREEN, BLUE, (0.5, 0.5, 0.5)])
    torch.testing.assert_close(middle, truth)


def test_depth_normal_and_opacity_in_closed_form():
    views = AssetRenderer(make_box(COLORS)).render(turntable(2, elevation_deg=0.0), 65, 65)
    assert views.depth[0, 0, 32, 32] == pytest.approx(2.5, abs=1e-3)
    truth = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    torch.testing.assert_close(views.normal[:, :, 32, 32], truth, atol=1e-5, rtol=0)
    corner = views.depth[:, :, 0, 0], views.opacity[:, :, 0, 0], views.normal[:, :, 0, 0]
    assert all(value.abs().max() == 0 for value in corner)
    side = 0.5 / 2.5 / math.tan(math.radians(20.0))  # of the near face, as a share of the picture
    assert views.opacity[0].mean() == pytest.approx(
        side**2, abs=6e-3
    )  # half a ray's width along each edge
    assert views.penalties == {}


@pytest.mark.parametrize("distance", [0.2, 0.55, 0.9, 3.0])
def test_rays_beside_the_bounding_box_are_left_out_and_all_others_are_there(distance, monkeypatch):
    """From inside the box, near by and from afar, in pictures that are not square."""
    renderer = AssetRenderer(make_box(COLORS))
    azimuth = torch.tensor([0.0, 35.0, 140.0])
    ones = torch.ones(3)
    cameras = orbit(azimuth, 25.0 * ones, distance * ones, 40.0 * ones)
    views = renderer.render(cameras, 24, 40)
    aimed = len(renderer._aimed(cameras, 24, 40))
    assert (aimed < 3 * 24 * 40) == (distance == 3.0)

    def every(cameras, height, width):
        return torch.arange(3 * height * width)

    monkeypatch.setattr(renderer, "_aimed", every)
    for found, expected in zip(views[:4], renderer.render(cameras, 24, 40)[:4], strict=True):
        assert torch.equal(found, expected)


def test_edges_are_antialiased_by_the_box_filter():
    renderer = AssetRenderer(make_box(COLORS))
    camera = orbit(*torch.tensor([[30.0], [20.0], [3.0], [40.0]]))
    fine = renderer.render(camera, 64, 64, supersample=1)
    coarse = renderer.render(camera, 16, 16, supersample=4)
    pooled = torch.nn.functional.avg_pool2d(fine.rgb, 4)
    torch.testing.assert_close(coarse.rgb, pooled, atol=1e-5, rtol=0)
    assert len(coarse.opacity.unique()) > 2


def test_texture_corners_fall_where_gltf_says():
    picture = torch.from_numpy(quadrant_picture()).float() / 255.0
    texture = torch.cat([picture, torch.ones(8, 8, 1)], dim=-1)
    quad = make_quad(Material((1.0, 1.0, 1.0, 1.0), texture, unlit=True))
    rgb = AssetRenderer(quad).render(turntable(1, elevation_deg=0.0), 32, 32).rgb[0]
    for (row, column), color in {(8, 8): RED, (8, 24): GREEN, (24, 8): BLUE}.items():
        assert rgb[:, row, column].tolist() == pytest.approx(color, abs=1e-5)


def test_bilinear_lookup_repeats_and_is_exact_at_texel_centres():
    texture = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(0))
    rows, columns = torch.meshgrid(torch.arange(3), torch.arange(5), indexing="ij")
    centres = torch.stack([(columns + 0.5) / 5, (rows + 0.5) / 3], dim=-1).reshape(-1, 2)
    for shift in (0.0, 1.0, -2.0):
        found = look_up(texture, centres + shift, Sampler())
        torch.testing.assert_close(found, texture.reshape(-1, 4), atol=1e-5, rtol=0)
    halfway = look_up(texture, torch.tensor([[0.2, 0.5 / 3]]), Sampler())
    torch.testing.assert_close(halfway[0], (texture[0, 0] + texture[0, 1]) / 2)


def test_blended_and_masked_layers_composite_front_to_back():
    near = make_quad(Material((1.0, 0.0, 0.0, 0.25), None, unlit=True), z=0.5)
    hole = make_quad(Material((0.0, 0.0, 1.0, 0.0), None, unlit=True), z=0.2)
    far = make_quad(Material((0.0, 1.0, 0.0, 0.5), None, unlit=True), z=-0.5)
    views = AssetRenderer(stack(far, hole, near)).render(turntable(1, 0.0), 8, 8)
    middle = views.rgb[0, :, 4, 4].tolist()
    assert middle == pytest.approx((0.25, 0.375, 0.0), abs=1e-5)
    assert views.opacity[0, 0, 4, 4] == pytest.approx(0.625, abs=1e-5)
    over_white = views.over(torch.ones(1, 3, 1, 1))[0, :, 4, 4].tolist()
    assert over_white == pytest.approx((0.625, 0.75, 0.375), abs=1e-5)


def test_shading_lies_between_ambient_and_full_and_spares_unlit():
    lit = make_quad(Material((0.8, 0.8, 0.8, 1.0)))
    camera = turntable(1, elevation_deg=0.0)
    shaded = AssetRenderer(lit).render(camera, 8, 8).rgb[0, 0, 4, 4]
    assert 0.8 * 0.65 < shaded < 0.8
    unlit = lit._replace(materials=(Material((0.8, 0.8, 0.8, 1.0), None, unlit=True),))
    assert AssetRenderer(unlit).render(camera, 8, 8).rgb[0, 0, 4, 4] == pytest.approx(0.8)


def test_the_inside_of_a_face_is_lit_like_the_outside():
    quad = make_quad(Material())
    views = AssetRenderer(quad).render(turntable(2, elevation_deg=0.0), 8, 8)
    torch.testing.assert_close(views.rgb[0, :, 4, 4], views.rgb[1, :, 4, 4])
    torch.testing.assert_close(views.normal[0], -views.normal[1])
