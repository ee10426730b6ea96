import math

import pytest
import torch

from redream.cameras import orbit, rays, turntable
from redream.representations import NeRF, Representation, tracing

SMALL = dict(num_levels=3, log2_table_size=10, base_resolution=4, max_resolution=16, hidden=8)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def nerf_with_shape(device="cpu", **arguments):
    """A field with random bumps and colours, opaque inside a ball of radius about 0.5."""
    nerf = NeRF(**(SMALL | dict(blob_scale=60.0) | arguments))
    generator = torch.Generator().manual_seed(0)
    table = nerf.field.grid.table
    table.data = torch.randn(table.shape, generator=generator)
    return nerf.to(device)


@pytest.mark.parametrize("device", DEVICES)
def test_views_have_their_shapes_and_ranges(device):
    nerf = nerf_with_shape(device).eval()
    cameras = turntable(2).to(device)
    views = nerf.render(cameras, 20, 24)
    assert views.rgb.shape == views.normal.shape == (2, 3, 20, 24)
    assert views.opacity.shape == views.depth.shape == (2, 1, 20, 24)
    assert views.penalties == {}
    assert ((views.rgb >= 0) & (views.rgb <= views.opacity + 1e-5)).all()
    assert views.opacity.min() == 0.0
    assert views.opacity.max() > 0.99
    torch.testing.assert_close(views.normal.norm(dim=1, keepdim=True), views.opacity, atol=0.011,
                               rtol=0)  # fmt: skip
    hit = views.opacity > 0.99
    assert ((views.depth[hit] > 2.0) & (views.depth[hit] < 3.5)).all()
    assert (views.depth[views.opacity == 0] == 0).all()
    background = nerf.background(cameras, 20, 24)
    composited = views.over(background)
    assert ((composited >= 0) & (composited <= 1.0001)).all()


def test_the_initial_ball_is_where_and_how_it_should_be():
    nerf = NeRF(blob_scale=5000.0, blob_radius=0.5).eval()
    cameras = orbit(*(torch.tensor([x]) for x in (30.0, 20.0, 3.0, 40.0)))
    views = nerf.render(cameras, 33, 33)
    origins, directions = rays(cameras, 33, 33)
    b = (origins * directions).sum(-1)
    discriminant = b**2 - 9.0 + 0.25
    inside = discriminant > 0.02
    depth = -b - discriminant.clamp_min(0).sqrt()
    torch.testing.assert_close(views.depth[:, 0][inside], depth[inside], rtol=0, atol=0.04)
    assert (views.opacity[:, 0][discriminant < -0.05] < 0.01).all()
    normals = (origins + depth[..., None] * directions) / 0.5
    cosine = (views.normal.permute(0, 2, 3, 1) * normals).sum(-1)
    assert (cosine[inside] > 0.99).all()


def test_without_gradients_rays_go_in_chunks_with_the_same_result():
    nerf = nerf_with_shape().eval()
    cameras = turntable(1)
    views = nerf.render(cameras, 200, 200)
    with torch.no_grad():
        chunked = nerf.render(cameras, 200, 200)
    for name in ("rgb", "opacity", "depth", "normal"):
        torch.testing.assert_close(getattr(chunked, name), getattr(views, name))


def test_jitter_is_keyed_by_seed_step_and_render():
    nerf, again = nerf_with_shape(), nerf_with_shape()
    cameras = turntable(1)

    def pictures(nerf, step):
        nerf.update(step)
        return [nerf.render(cameras, 16, 16).rgb for _ in range(2)]

    first, second = pictures(nerf, 3)
    assert not torch.equal(first, second)
    pictures(again, 7)  # what was rendered before does not matter
    assert torch.equal(pictures(again, 3)[1], second)
    assert not torch.equal(pictures(nerf, 4)[0], first)
    nerf.eval()
    assert torch.equal(*pictures(nerf, 3))


def test_global_randomness_is_neither_used_nor_touched():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    nerf = NeRF(**SMALL)
    nerf.update(0)
    nerf.render(turntable(1), 8, 8)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    again = NeRF(**SMALL)
    for name, value in nerf.named_parameters():
        assert torch.equal(value, again.get_parameter(name)), name
    other = NeRF(**SMALL, seed=1)
    assert not torch.equal(other.field.grid.table, nerf.field.grid.table)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("output", ["rgb", "opacity", "depth", "normal"])
def test_every_output_reaches_the_density(device, output):
    nerf = nerf_with_shape(device, normals_in_training=True)
    views = nerf.render(turntable(1).to(device), 12, 12)
    image = getattr(views, output)
    (image * torch.linspace(0, 1, 12, device=device)).sum().backward()
    for parameter in (nerf.field.grid.table, *nerf.field.density_mlp.parameters()):
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().sum() > 0
    assert (nerf.field.color_mlp[0].weight.grad is None) == (output == "normal") or (
        nerf.field.color_mlp[0].weight.grad.abs().sum() > 0
    ) == (output == "rgb")


def test_image_gradient_equals_finite_differences():
    nerf = nerf_with_shape(orientation_samples=0).eval()
    cameras = turntable(1)
    bias, weight = nerf.field.density_mlp[2].bias, nerf.field.color_mlp[2].weight

    def loss():
        views = nerf.render(cameras, 10, 10)
        return (views.rgb.double() ** 2).sum() + views.depth.double().mean()

    loss().backward()
    for parameter, entry in ((bias, (0,)), (weight, (1, 2))):
        before = parameter.data[entry].item()
        values = []
        for sign in (1, -1):
            parameter.data[entry] = before + sign * 5e-3
            values.append(loss().item())
        parameter.data[entry] = before
        slope = (values[0] - values[1]) / 1e-2
        assert parameter.grad[entry].item() == pytest.approx(slope, rel=0.03)


def test_training_views_carry_penalties_with_gradients():
    nerf = nerf_with_shape(blob_scale=5.0)
    penalties = nerf.render(turntable(2), 12, 12).penalties
    assert set(penalties) == {"sparsity", "opacity", "orientation", "spread"}
    for name, value in penalties.items():
        nerf.zero_grad()
        value.backward(retain_graph=True)
        assert value.item() > 0, name
        assert nerf.field.density_mlp[0].weight.grad.abs().sum() > 0, name


def test_a_field_that_is_empty_everywhere_renders_nothing_and_trains():
    nerf = nerf_with_shape()
    nerf.field.density_mlp[2].bias.data.fill_(-1e4)
    views = nerf.render(turntable(1), 8, 8)
    assert views.opacity.abs().sum() == 0
    sum(views.penalties.values(), views.rgb.sum()).backward()
    away = turntable(1)._replace(c2w=turntable(1).c2w @ torch.diag(torch.tensor([1.0, 1, -1, 1])))
    views = nerf.render(away, 8, 8)  # looking away: not a single sample
    sum(views.penalties.values(), views.rgb.sum()).backward()
    assert nerf.field.grid.table.grad.isfinite().all()


def test_matter_that_is_hidden_does_not_matter():
    nerf = nerf_with_shape().eval()
    camera = turntable(1, elevation_deg=0.0)  # at +Z
    before = nerf.render(camera, 16, 16).rgb
    occupied = nerf.occupancy.occupied
    occupied[:, :, : occupied.shape[2] // 4] = False  # the far side
    torch.testing.assert_close(nerf.render(camera, 16, 16).rgb, before, rtol=0, atol=1e-3)


def test_occupancy_is_pruned_after_the_warm_up_and_keeps_the_picture():
    nerf = nerf_with_shape(occupancy_warmup=16).eval()
    cameras = turntable(2)
    before = nerf.render(cameras, 16, 16)
    nerf.update(0)
    assert nerf.occupancy.occupied.all()
    for step in range(16, 64):
        nerf.update(step)
    assert nerf.occupancy.occupied.float().mean() < 0.5
    torch.testing.assert_close(nerf.render(cameras, 16, 16).rgb, before.rgb, rtol=0, atol=2e-2)


def test_parameter_groups_are_disjoint_complete_and_named():
    nerf = NeRF(**SMALL, grid_lr=0.5, mlp_lr=0.25, background_lr=0.125)
    groups = nerf.parameter_groups()
    assert [(g["name"], g["lr"]) for g in groups] == [
        ("grid", 0.5),
        ("mlp", 0.25),
        ("background", 0.125),
    ]
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in nerf.parameters())
    plain = NeRF(**SMALL, learn_background=False)
    assert [g["name"] for g in plain.parameter_groups()] == ["grid", "mlp"]
    assert (plain.background(turntable(2), 4, 5) == 1).all()


def test_state_goes_through_a_checkpoint(tmp_path):
    nerf = nerf_with_shape(occupancy_warmup=0)
    nerf.update(0)
    torch.save(nerf.state_dict(), tmp_path / "nerf.pt")
    again = NeRF(**(SMALL | dict(blob_scale=60.0)), seed=9)
    again.load_state_dict(torch.load(tmp_path / "nerf.pt", weights_only=True))
    assert torch.equal(again.occupancy.occupied, nerf.occupancy.occupied)
    assert torch.equal(again.occupancy.density, nerf.occupancy.density)
    cameras = turntable(1)
    pictures = [n.eval().render(cameras, 16, 16).over(n.background(cameras, 16, 16))
                for n in (nerf, again)]  # fmt: skip
    assert torch.equal(*pictures)


def test_sharpening_steepens_density_around_its_pivot():
    nerf = nerf_with_shape()
    points = torch.rand(4000, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    soft, normals = nerf.density(points), nerf.field.normals(points, 0.1)
    nerf.field.sharpness.fill_(8.0)
    sharp = nerf.density(points)
    pivot = math.log(2.0) / (5 * nerf.step_length)  # five samples let half of the light through
    assert (soft < pivot - 0.1).any()
    assert (sharp[soft < pivot - 0.1] < soft[soft < pivot - 0.1]).all()
    assert (soft > pivot + 0.1).any()
    assert (sharp[soft > pivot + 0.1] > soft[soft > pivot + 0.1]).all()
    assert torch.equal(nerf.field.normals(points, 0.1), normals)


def test_a_sharper_field_is_less_translucent_about_where_it_was():
    nerf = nerf_with_shape(blob_scale=200.0).eval()
    cameras = turntable(4)
    soft = nerf.render(cameras, 48, 48).opacity
    nerf.field.sharpness.fill_(8.0)
    sharp = nerf.render(cameras, 48, 48).opacity
    translucent = [((opacity > 0.02) & (opacity < 0.98)).sum() for opacity in (soft, sharp)]
    assert translucent[1] < 0.5 * translucent[0]
    both, either = ((sharp > 0.5) & (soft > 0.5)).sum(), ((sharp > 0.5) | (soft > 0.5)).sum()
    assert both > 0.7 * either


def shown_at(nerf, step_length, cameras):
    nerf.step_length = step_length
    return nerf.render(cameras, 32, 32).rgb


def test_views_of_a_sharp_field_hide_the_steps_of_the_march():
    nerf = nerf_with_shape(blob_scale=200.0).eval()
    nerf.field.sharpness.fill_(16.0)
    cameras, step_length = turntable(2), nerf.step_length
    shown = {factor: shown_at(nerf, factor * step_length, cameras) for factor in (2.0, 1.0, 0.125)}
    error = {factor: (shown[factor] - shown[0.125]).square().mean() for factor in (1.0, 2.0)}
    assert error[1.0] < 0.5 * error[2.0]
    nerf.step_length = step_length
    nerf.field.sharpness.fill_(1.0 + 1e-6)
    sharp = nerf.render(cameras, 32, 32).rgb
    nerf.field.sharpness.fill_(1.0)
    soft = {factor: shown_at(nerf, factor * step_length, cameras) for factor in (0.5, 1.0)}
    torch.testing.assert_close(sharp, soft[0.5], atol=1e-4, rtol=0)  # half of a soft field's step
    assert (sharp - soft[1.0]).abs().max() > 1e-3


def test_sharpness_follows_the_step_and_is_kept():
    nerf = NeRF(**SMALL, sharpness=5.0, sharpening_steps=(10, 20))
    values = []
    for step in (0, 10, 15, 20, 99):
        nerf.update(step)
        values.append(nerf.field.sharpness.item())
    assert values == [1.0, 1.0, 3.0, 5.0, 5.0]
    again = NeRF(**SMALL)
    again.load_state_dict(nerf.state_dict())
    assert again.field.sharpness == 5.0


def test_a_steep_field_loses_its_floaters(monkeypatch):
    nerf = NeRF(**SMALL, sharpness=4.0, sharpening_steps=(16, 32), occupancy_warmup=0).eval()
    ball, floater = torch.zeros(3), torch.tensor([0.7, 0.0, 0.0])

    def raw_density(points, encoded):
        inside = ((points - ball).norm(dim=-1) < 0.4) | ((points - floater).norm(dim=-1) < 0.05)
        return torch.where(inside, 100.0, -100.0)

    def look(rays, least):
        return tracing.look(lambda points: nerf.field(points)[0], rays, least)

    monkeypatch.setattr(nerf.field, "raw_density", raw_density)
    monkeypatch.setattr(nerf.field, "look", look)  # a kernel would look at the field itself
    camera = turntable(1, elevation_deg=0.0)  # at +Z: the floater is on the right
    nerf.update(0)
    soft = nerf.render(camera, 32, 32).opacity
    assert soft[..., 24:].max() > 0.9
    nerf.update(32)
    steep = nerf.render(camera, 32, 32).opacity
    assert steep[..., 24:].max() == 0.0
    torch.testing.assert_close(steep[..., :22], soft[..., :22], rtol=0, atol=0.05)


def test_nothing_is_outside_the_radius():
    nerf = NeRF(**SMALL, radius=0.6)
    points = torch.tensor([[0.0, 0, 0], [0.59, 0, 0], [0.61, 0, 0], [0.5, 0.5, 0]])
    assert (nerf.density(points) > 0).tolist() == [True, True, False, False]
    box = NeRF(**SMALL, radius=3**0.5)
    points = torch.tensor([[0.9, 0.9, 0.9], [0.0, 1.01, 0.0]])
    assert (box.density(points) > 0).tolist() == [True, False]


def test_the_surface_is_that_of_the_ball_and_faces_outward():
    nerf = NeRF(blob_scale=100.0, blob_radius=0.5)
    vertices, faces = nerf.extract_surface(48)
    assert vertices.norm(dim=-1).mean().item() == pytest.approx(0.5, rel=0.1)
    a, b, c = vertices[faces].unbind(1)
    assert (torch.linalg.cross(b - a, c - a) * (a + b + c)).sum() > 0
    colors = nerf.colors(vertices)
    assert colors.shape == vertices.shape
    assert not colors.requires_grad
    assert ((colors >= 0) & (colors <= 1)).all()


def test_the_surface_is_as_deep_as_its_silhouettes_allow(monkeypatch):
    """Nearer to where the views' colours come from than the surface of the best silhouettes."""
    nerf = NeRF(blob_scale=100.0, blob_radius=0.5, sharpness=8.0, sharpening_steps=(0, 1)).eval()
    nerf.update(1)
    camera = turntable(1, elevation_deg=0.0)
    with torch.no_grad():
        views = nerf.render(camera, 33, 33)
    seen = float(camera.distance - views.depth[0, 0, 16, 16])  # radius where the colours are
    deep = nerf.extract_surface(48)[0].norm(dim=-1).mean().item()
    monkeypatch.setattr("redream.representations.field_surface._MARGIN", 0.0)
    outermost = nerf.extract_surface(48)[0].norm(dim=-1).mean().item()
    assert seen < deep < outermost < 1.02 * deep


def test_a_missing_surface_says_which_density_has_one():
    nerf = NeRF(**SMALL, surface_density=1e3)
    with pytest.raises(ValueError, match="set surface_density below"):
        nerf.extract_surface(16)


@pytest.mark.parametrize(
    "arguments",
    [
        dict(radius=0.0),
        dict(radius=2.0),
        dict(num_steps=0),
        dict(blob_radius=0.0),
        dict(sharpness=0.0),
        dict(alpha_threshold=1.0),
        dict(samples_at_once=0),
        dict(normal_step=0.0),
    ],
)
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="NeRF"):
        NeRF(**(SMALL | arguments))


def test_it_is_a_representation():
    assert issubclass(NeRF, Representation)
