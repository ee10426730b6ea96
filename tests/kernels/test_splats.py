"""Gaussians against the double-precision reference, finite differences and closed forms."""

import math

import pytest
import torch

from redream.cameras import orbit, turntable
from redream.kernels.splats import (
    Gaussians,
    blend,
    splat,
)
from redream.kernels.splats_projection import BLUR, project
from redream.kernels.splats_reference import project_reference, splat_reference
from redream.kernels.splats_tiles import list_tiles

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def scene(num=40, scale=0.08, spread=0.4, harmonics=16, aspect=0.8, seed=0, opacity=1.0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Gaussians(
        spread * normal(num, 3),
        scale * torch.exp(aspect * normal(num, 3)),
        normal(num, 4),
        torch.sigmoid(normal(num) + opacity),
        0.3 * normal(num, harmonics, 3),
    )


def axis(num, index):
    return torch.eye(3, dtype=torch.float64)[index].expand(num, 3)


def behind_and_at_the_border():
    """Before, beside and behind the camera, some exactly where tiles meet."""
    some = scene(30, spread=3.0)
    means = some.means.clone()
    means[:4] = torch.tensor([0.0, 0.0, 3.5])  # behind the camera
    means[4] = torch.tensor([0.0, 0.0, 2.96])  # nearer than the near plane
    means[5] = 0.0  # the picture's middle is where four tiles meet
    return some._replace(means=means)


def turned_edge_on():
    some = scene(20, aspect=0.0)
    flat = torch.tensor([0.15, 0.15, 1e-4], dtype=torch.float64).expand(20, 3)
    upright = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64).expand(20, 4)
    return some._replace(scales=flat, rotations=upright + 0.02 * some.rotations)


SCENES = {
    "random": scene,
    "overlapping": lambda: scene(60, scale=0.25, spread=0.1),
    "huge": lambda: scene(12, scale=3.0, spread=0.2, aspect=0.3),
    "tiny": lambda: scene(60, scale=1e-3),
    "needles": lambda: scene(30)._replace(
        scales=torch.tensor([0.5, 2e-4, 3e-4], dtype=torch.float64).expand(30, 3)
    ),
    "edge-on": turned_edge_on,
    "outside": behind_and_at_the_border,
    "opaque": lambda: scene(80, scale=0.2, opacity=9.0),
    "one colour": lambda: scene(harmonics=1),
    "degree 2": lambda: scene(harmonics=9),
}


def leaves(splats, dtype, device="cpu"):
    return Gaussians(*(x.to(device, dtype).clone().requires_grad_() for x in splats))


def double(cameras):
    return type(cameras)(*(x.double() for x in cameras))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", SCENES)
def test_values_and_gradients_equal_the_double_precision_reference(name, device):
    cameras = turntable(2, elevation_deg=0.0 if name == "outside" else 15.0)
    fast, slow = (
        leaves(SCENES[name](), torch.float32, device),
        leaves(SCENES[name](), torch.float64),
    )
    got = splat(fast, cameras.to(device), 24, 32)
    wanted = splat_reference(slow, double(cameras), 24, 32)
    generator = torch.Generator().manual_seed(1)
    cotangents = [torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in wanted]
    torch.autograd.backward(got, [x.to(device).float() for x in cotangents])
    torch.autograd.backward(wanted, cotangents)
    for part, one, other in zip(got._fields, got, wanted, strict=True):
        assert_near(part, one, other)
    for part, one, other in zip(fast._fields, fast, slow, strict=True):
        assert_near(part, one.grad, other.grad)


def assert_near(name, got, wanted):
    """Within single precision of the largest; a pixel at a cut-off may decide otherwise."""
    got, wanted = got.detach().cpu().double(), wanted.detach()
    error, limit = (got - wanted).abs(), 2e-3 * float(wanted.abs().max()) + 1e-5
    assert float(error.quantile(0.995)) <= limit / 20, name
    assert float(error.max()) <= limit, name


def test_gradients_of_the_reference_equal_finite_differences():
    splats = leaves(scene(3, scale=0.2, spread=0.2, harmonics=4), torch.float64)
    cameras = double(turntable(1))
    assert torch.autograd.gradcheck(
        lambda *parts: tuple(splat_reference(Gaussians(*parts), cameras, 4, 5)), tuple(splats)
    )


def one(mean, scale, opacity, color):
    return Gaussians(
        torch.tensor([mean]),
        torch.full((1, 3), scale),
        torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        torch.tensor([opacity]),
        ((torch.tensor([color]) - 0.5) / 0.28209479177387814)[:, None],
    )


def join(*many):
    return Gaussians(*(torch.cat(parts) for parts in zip(*many, strict=True)))


def test_one_round_gaussian_in_the_middle_is_a_gaussian_of_pixels():
    scale, opacity = 0.1, 0.8
    size = 65  # the middle is a pixel's centre
    seen = splat(
        one([0.0, 0.0, 0.0], scale, opacity, [0.2, 0.6, 0.9]), turntable(1, 0.0), size, size
    )
    focal = 0.5 * size / math.tan(math.radians(20.0))
    variance = (focal * scale / 3.0) ** 2 + BLUR
    away = torch.arange(size) - 32.0
    square = away[:, None] ** 2 + away[None] ** 2
    expected = opacity * torch.exp(-0.5 * square / variance)
    expected[(square > 9.0 * variance) | (expected < 1.0 / 255.0)] = 0.0
    torch.testing.assert_close(seen.opacity[0, 0], expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(seen.color[0, 1], 0.6 * expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(seen.distance[0, 0], 3.0 * expected, rtol=1e-4, atol=1e-6)


def test_of_two_splats_the_nearer_hides_the_farther_by_its_opacity():
    near = one([0.0, 0.0, 0.5], 0.2, 0.7, [1.0, 0.0, 0.0])
    far = one([0.0, 0.0, -0.5], 0.2, 0.9, [0.0, 1.0, 0.0])
    for both in (join(near, far), join(far, near)):
        seen = splat(both, turntable(1, 0.0), 9, 9)
        middle = seen.color[0, :, 4, 4]
        torch.testing.assert_close(middle, torch.tensor([0.7, 0.3 * 0.9, 0.0]))
        torch.testing.assert_close(seen.opacity[0, 0, 4, 4], torch.tensor(0.97))
        torch.testing.assert_close(
            seen.distance[0, 0, 4, 4], torch.tensor(0.7 * 2.5 + 0.3 * 0.9 * 3.5)
        )


def test_splats_of_equal_depth_are_blended_by_their_number():
    red, green = (one([0.0, 0.0, 0.0], 0.2, 0.6, color) for color in ([1.0, 0, 0], [0, 1.0, 0]))
    first = splat(join(red, green), turntable(1, 0.0), 9, 9).color[0, :, 4, 4]
    second = splat(join(green, red), turntable(1, 0.0), 9, 9).color[0, :, 4, 4]
    torch.testing.assert_close(first, torch.tensor([0.6, 0.24, 0.0]))
    torch.testing.assert_close(second, torch.tensor([0.24, 0.6, 0.0]))


def test_a_flat_splat_shows_its_normal_to_every_camera_that_sees_it():
    plate = one([0.0, 0.0, 0.0], 0.3, 0.9, [0.5, 0.5, 0.5])
    plate = plate._replace(scales=torch.tensor([[0.3, 0.3, 1e-3]]))
    angles = torch.tensor([0.0, 60.0, 180.0])
    cameras = orbit(angles, torch.zeros(3), torch.full((3,), 3.0), torch.full((3,), 40.0))
    normal = splat(plate, cameras, 9, 9).normal[:, :, 4, 4]
    expected = 0.9 * torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    torch.testing.assert_close(normal, expected, rtol=1e-3, atol=1e-3)


def test_the_size_of_tiles_decides_nothing_but_speed():
    splats = Gaussians(*(x.float() for x in scene(200)))
    footprints = project(splats, turntable(2), 37, 45)
    pictures = [blend(footprints, splats.opacities, 37, 45, size) for size in (4, 8, 16, 64)]
    for other in pictures[1:]:
        for one_part, other_part in zip(pictures[0], other, strict=True):
            assert torch.equal(one_part, other_part)


def test_lists_hold_what_a_tile_sees_near_to_far():
    splats = Gaussians(*(x.float() for x in scene(150)))
    footprints = project(splats, turntable(2), 32, 40)
    tiles = list_tiles(footprints, splats.opacities, 32, 40, 8)
    assert len(tiles.offsets) == 2 * 4 * 5 + 1
    assert tiles.offsets[-1] == len(tiles.splats)
    depths = footprints.depths.flatten()
    for tile in range(2 * 4 * 5):
        listed = tiles.splats[tiles.offsets[tile] : tiles.offsets[tile + 1]].long()
        assert (listed // 150 == tile // 20).all()
        assert (depths[listed].diff() >= 0.0).all()
        assert len(listed.unique()) == len(listed)
    assert len(tiles.splats) > 150


def test_the_same_splats_give_the_same_picture_and_gradients_to_the_bit():
    results = []
    for _ in range(2):
        splats = leaves(scene(300, scale=0.1), torch.float32)
        seen = splat(splats, turntable(2), 40, 40)
        (seen.color.square().sum() + seen.normal.sum()).backward()
        results.append([*seen, *(x.grad for x in splats)])
    assert all(torch.equal(one_part, other) for one_part, other in zip(*results, strict=True))


@pytest.mark.parametrize("num", [0, 1])
def test_nothing_is_seen_of_nothing(num):
    some = Gaussians(*(x[:num].float().requires_grad_() for x in scene(1)))
    some = some._replace(means=some.means + torch.tensor([0.0, 0.0, 50.0]))
    seen = splat(some, turntable(1, 0.0), 8, 8)
    assert all((part == 0.0).all() for part in seen)
    seen.opacity.sum().backward()


def test_a_colour_beyond_its_range_learns_only_the_way_back():
    bright = one([0.0, 0.0, 0.0], 0.2, 0.9, [1.5, 1.5, -0.5])
    for sign, moves in ((1.0, [True, True, False]), (-1.0, [False, False, True])):
        harmonics = bright.harmonics.clone().requires_grad_()
        seen = splat(bright._replace(harmonics=harmonics), turntable(1, 0.0), 9, 9)
        assert seen.color.max() <= seen.opacity.max()
        (sign * seen.color).sum().backward()
        assert (harmonics.grad[0, 0] != 0.0).tolist() == moves


def test_a_pixel_ends_where_nothing_more_shines_through():
    stack = [one([0.0, 0.0, 0.5 - 0.1 * i], 0.3, 0.98, [0.5, 0.5, 0.5]) for i in range(6)]
    splats = join(*stack)._replace(harmonics=torch.zeros(6, 1, 3).requires_grad_())
    seen = splat(splats, turntable(1, 0.0), 9, 9)
    torch.testing.assert_close(
        1.0 - seen.opacity[0, 0, 4, 4], torch.tensor(0.02**2), rtol=1e-3, atol=0.0
    )
    seen.color[..., 4, 4].sum().backward()
    assert (splats.harmonics.grad[:2] != 0.0).all()
    assert (splats.harmonics.grad[2:, :, 0] == 0.0).all()


def test_harmonics_of_no_degree_are_refused():
    splats = Gaussians(*(x.float() for x in scene(3)))
    with pytest.raises(ValueError, match=r"5 harmonics a colour belong to no degree .*1, 4, 9, 16"):
        splat(splats._replace(harmonics=splats.harmonics[:, :5]), turntable(1), 8, 8)


def test_projection_and_harmonics_equal_those_of_gsplat():
    """gsplat's own PyTorch code, which needs no GPU."""
    reference = pytest.importorskip("gsplat.cuda._torch_impl")
    splats = scene(60)
    angles = torch.tensor([20.0, 200.0]).double()
    cameras = orbit(
        angles, 0.1 * angles, torch.full_like(angles, 3.0), torch.full_like(angles, 40.0)
    )
    mine = project_reference(splats, cameras, 48, 64)
    covariance, _ = reference._quat_scale_to_covar_preci(
        splats.rotations, splats.scales, True, False, False
    )
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))  # to OpenCV
    focal = 24.0 / math.tan(math.radians(20.0))
    pinhole = torch.tensor([[focal, 0.0, 32.0], [0.0, focal, 24.0], [0.0, 0.0, 1.0]]).double()
    _, means, depths, conics, _ = reference._fully_fused_projection(
        *(splats.means, covariance, flip @ torch.linalg.inv(cameras.c2w)),
        *(pinhole.expand(2, 3, 3), 64, 48, BLUR, 0.05),
    )
    torch.testing.assert_close(mine.centres, means, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mine.depths, depths)
    torch.testing.assert_close(mine.conics, conics, rtol=1e-6, atol=1e-9)
    away = splats.means - cameras.c2w[0, :3, 3]
    color = reference._spherical_harmonics(3, away, splats.harmonics) + 0.5
    torch.testing.assert_close(mine.features[0, :, :3], color.clamp(0.0, 1.0))
