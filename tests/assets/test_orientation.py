import math

import pytest
import torch
from fabricated import BLUE, GREEN, RED, make_box

from redream.assets import (
    AssetRenderer,
    align_front,
    rotate_yaw,
)
from redream.assets.orientation import find_front, highest_front
from redream.assets.symmetry import mirror_asymmetry
from redream.cameras import turntable

FRONTED = {"+z": RED, "-z": BLUE, "+x": GREEN, "-x": GREEN}


def encode_images(images):
    """Mean colour of what is not white."""
    shown = (images.amin(1, keepdim=True) < 0.9).float()
    mean = (images * shown).sum((2, 3)) / shown.sum((2, 3)).clamp_min(1)
    return torch.nn.functional.normalize(mean, dim=-1)


def encode_texts(texts):
    named = {"front": RED, "side": GREEN, "back": BLUE}
    return torch.tensor([next(c for n, c in named.items() if n in text) for text in texts])


@pytest.mark.parametrize("yaw_deg", [0.0, 37.0, 90.0, 180.0, -101.0, 265.5])
def test_finds_and_undoes_a_known_yaw(yaw_deg):
    turned = rotate_yaw(make_box(FRONTED), yaw_deg)
    aligned, found = align_front(turned, "a box", encode_images, encode_texts)
    assert found.has_front
    assert abs((found.yaw_deg - yaw_deg + 180) % 360 - 180) <= 6.0
    rgb = AssetRenderer(aligned).render(turntable(1, 0.0), 16, 16).rgb[0, :, 8, 8]
    assert rgb.tolist() == pytest.approx(RED, abs=1e-3)


def test_what_has_no_front_is_left_alone():
    for colors in ({}, {"+z": GREEN, "-z": GREEN, "+x": GREEN, "-x": GREEN}):
        mesh = rotate_yaw(make_box(colors), 70.0)
        aligned, found = align_front(mesh, "a box", encode_images, encode_texts)
        assert not found.has_front
        assert found.yaw_deg == 0.0
        assert aligned is mesh


@pytest.mark.parametrize("yaw_deg", [0.0, 90.0, 180.0, -101.0])
def test_the_papers_rule_takes_the_highest_view_and_asks_for_no_more(yaw_deg):
    turned = rotate_yaw(make_box(FRONTED), yaw_deg)
    aligned, found = align_front(turned, "a box", encode_images, encode_texts, axis="highest")
    assert found.has_front and abs((found.yaw_deg - yaw_deg + 180) % 360 - 180) <= 360 / 16 / 2
    rgb = AssetRenderer(aligned).render(turntable(1, 0.0), 16, 16).rgb[0, :, 8, 8]
    assert rgb.tolist() == pytest.approx(RED, abs=1e-3)
    scores = torch.zeros(3, 8)
    scores[0, 6] = 1.0
    assert highest_front(scores).yaw_deg == -90.0  # one loud view is all that it hears
    assert highest_front(torch.zeros(3, 8)).has_front


def test_rotation_moves_the_front_to_that_azimuth():
    turned = rotate_yaw(make_box(FRONTED), 90.0)
    rgb = AssetRenderer(turned).render(turntable(4, 0.0), 16, 16).rgb[:, :, 8, 8]
    torch.testing.assert_close(rgb[1], torch.tensor(RED))
    torch.testing.assert_close(rgb[2], torch.tensor(GREEN))
    normal = AssetRenderer(turned).render(turntable(4, 0.0), 17, 17).normal[1, :, 8, 8]
    torch.testing.assert_close(normal, torch.tensor([1.0, 0.0, 0.0]), atol=1e-5, rtol=0)


def test_one_loud_view_does_not_outvote_the_circle():
    azimuth = torch.arange(16) * (2 * math.pi / 16)
    yaw = math.radians(67.5)
    front = 0.3 + 0.03 * (azimuth - yaw).cos()
    back = 0.3 - 0.03 * (azimuth - yaw).cos()
    side = 0.3 + 0.03 * (azimuth - yaw).sin().abs()
    front[11] += 0.08  # at the back
    assert front.argmax() == 11
    found = find_front(torch.stack([front, side, back]))
    assert found.yaw_deg == pytest.approx(67.5, abs=20.0)


def test_profile_amplitude_is_measured_in_similarity():
    azimuth = torch.arange(16) * (2 * math.pi / 16)
    scores = torch.stack([0.02 * azimuth.cos(), torch.zeros(16), -0.02 * azimuth.cos()])
    found = find_front(scores)
    assert found.contrast == pytest.approx(0.04, abs=1e-6)
    assert found.confidence == pytest.approx(1.0, abs=1e-6)
    assert not find_front(scores, min_contrast=0.05).has_front


def make_wedge(yaw_deg):
    """A box whose +Z face is narrower: only the plane through azimuths 0 and 180 mirrors it."""
    box = make_box(FRONTED)
    narrow = torch.where(box.vertices[:, 2:] > 0, 0.4, 1.0)
    vertices = box.vertices * torch.cat([narrow, torch.ones_like(narrow).expand(-1, 2)], 1)
    return rotate_yaw(box._replace(vertices=vertices), yaw_deg)


@pytest.mark.parametrize(("yaw_deg", "plane"), [(0.0, 0), (67.5, 3), (180.0, 0), (-90.0, 4)])
def test_the_plane_that_mirrors_an_asset_stands_where_it_was_turned(yaw_deg, plane):
    views = AssetRenderer(make_wedge(yaw_deg)).render(turntable(8, 0.0), 32, 32)
    asymmetry = mirror_asymmetry(views.depth[None, :, 0])
    assert asymmetry.mean() == pytest.approx(1.0)
    assert int(asymmetry.argmin()) == plane
    assert asymmetry[plane] < 0.05
    assert asymmetry.sort().values[1] > 0.5


def test_what_is_alike_from_all_round_has_no_better_plane():
    assert mirror_asymmetry(torch.full((2, 8, 4, 4), 0.7)).tolist() == [1.0] * 8


@pytest.mark.parametrize("yaw_deg", [0.0, 101.0, -22.5])
def test_symmetry_corrects_a_witness_who_is_half_a_right_angle_off(yaw_deg):
    def squinting(images):
        return encode_images(images).roll(2, 0)  # 45 degrees of 16 views

    turned = make_wedge(yaw_deg)
    for axis, least, most in (("side", 35.0, 55.0), ("mirror", 0.0, 12.0)):
        _, found = align_front(
            turned, "a box", squinting, encode_texts, elevations_deg=(0.0,), size=32, axis=axis
        )
        assert least <= abs((found.yaw_deg - yaw_deg + 180) % 360 - 180) <= most


def test_a_long_caption_does_not_cut_off_the_view():
    asked = []
    mesh, caption = make_box(FRONTED), "a box " * 50

    def short_sighted(texts):
        asked.extend(texts)
        return encode_texts([text[:20] for text in texts])

    assert align_front(mesh, caption, encode_images, short_sighted)[1].has_front
    assert all(caption in text for text in asked)
