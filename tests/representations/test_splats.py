"""A particle of splats: where it starts, how it moves, the surface that it leaves."""

import math
from pathlib import Path

import pytest
import torch
import trimesh
import yaml

from redream.cameras import rays, turntable
from redream.kernels.raycast import RayCaster
from redream.kernels.splats_projection import rotation_matrices
from redream.meshes.triangles import sphere
from redream.representations import MCMC, AdaptiveDensity, NeRF, Splats
from redream.representations.base import Start
from redream.representations.checkpoint import load_particle
from redream.representations.splat_parameters import SplatParameters, blob, on_surface, turn_z_to
from redream.representations.splat_strategies import divided
from redream.representations.splats import _SPLAT_IN_A_VIEW


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def ball_start(radius=0.6):
    """A ball that is red above and blue below."""
    vertices, faces = sphere(radius)
    points = vertices[faces].mean(1)
    colors = torch.where(
        points[:, 1:2] > 0, torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.1, 0.9])
    )
    return Start(vertices, faces, points, colors)


def small(**options):
    return Splats(**{"num_splats": 1500, "surface_views": 96, **options})


@pytest.fixture(scope="module")
def ball():
    splats = small()
    splats.start_from(ball_start(), 0)
    return splats.eval()


def test_splats_on_a_surface_lie_flat_on_it_in_its_colours():
    cloud = on_surface(ball_start(), 400, generator())
    radius = cloud.means.norm(dim=1)
    assert ((radius > 0.55) & (radius <= 0.6001)).all()
    normal = rotation_matrices(cloud.rotations)[:, :, 2]
    assert ((normal * cloud.means / radius[:, None]).sum(1) > 0.97).all()
    red = cloud.harmonics[:, 0, 0] > 0.0
    clear = cloud.means[:, 1].abs() > 0.1
    assert torch.equal(red[clear], (cloud.means[:, 1] > 0)[clear])
    covered = (4.0 * cloud.scales[:, 0] * cloud.scales[:, 1]).sum()
    assert 1.0 < float(covered) / (4.0 * math.pi * 0.6**2) < 8.0


@pytest.mark.parametrize("target", [[0, 0, 1.0], [0, 0, -1.0], [1.0, 0, 0], [-0.6, 0.8, 0]])
def test_the_shortest_turn_takes_z_to_a_direction(target):
    turned = rotation_matrices(turn_z_to(torch.tensor([target])))
    torch.testing.assert_close(turned[0, :, 2], torch.tensor(target))
    torch.testing.assert_close(torch.linalg.det(turned), torch.ones(1))


def test_a_ball_of_splats_looks_like_the_ball_it_started_from(ball):
    cameras = turntable(2)
    with torch.no_grad():
        views = ball.render(cameras, 48, 48)
    origins = cameras.c2w[:, :3, 3]
    middle = views.depth[:, 0, 23:25, 23:25].mean((1, 2))
    torch.testing.assert_close(middle, origins.norm(dim=1) - 0.6, rtol=0.03, atol=0.0)
    assert (views.opacity[:, 0, 20:28, 20:28] > 0.9).all()
    toward = torch.nn.functional.normalize(origins, dim=1)
    facing = (views.normal[:, :, 23, 23] * toward).sum(1)
    assert (facing > 0.85).all()
    assert views.rgb[0, 0, 16, 24] > 0.6 > views.rgb[0, 0, 34, 24]


def test_the_surface_is_closed_and_where_the_splats_are(ball):
    vertices, faces = ball.extract_surface(32)
    radius = vertices.norm(dim=1)
    assert 0.58 < float(radius.mean()) < 0.68  # half of the splats' own thickness outside
    assert float(radius.std()) < 0.03
    cameras = turntable(3, elevation_deg=-30.0)
    covered = ball.render(cameras, 64, 64).opacity.flatten() >= 0.5
    seen = RayCaster(vertices, faces).cast(*(part.reshape(-1, 3) for part in rays(cameras, 64, 64)))
    hit = seen.face >= 0
    assert float((hit & covered).sum() / (hit | covered).sum()) > 0.94
    origins = torch.zeros(64, 3)
    directions = torch.nn.functional.normalize(torch.randn(64, 3, generator=generator()), dim=1)
    assert (RayCaster(vertices, faces).cast(origins, directions).face >= 0).all()
    colors = ball.colors(torch.tensor([[0.0, 0.6, 0.0], [0.0, -0.6, 0.0]]))
    torch.testing.assert_close(colors, torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.1, 0.9]]))


def test_faint_splats_have_no_surface_and_the_error_says_what_to_do():
    splats = small(num_splats=50)
    splats.splats.logits.data.fill_(-6.0)
    with pytest.raises(ValueError, match="too faint .*train longer, or with less sparsity"):
        splats.extract_surface(16)


def test_a_blob_fills_its_ball():
    cloud = blob(2000, 0.5, generator())
    radius = cloud.means.norm(dim=1)
    assert radius.max() <= 0.5
    assert float((radius < 0.25).float().mean()) == pytest.approx(1.0 / 8.0, abs=0.03)


@pytest.mark.parametrize("opacity", [0.02, 0.5, 0.99])
@pytest.mark.parametrize("num", [1, 2, 5, 20])
def test_the_parts_of_a_divided_splat_look_as_it_did(opacity, num):
    """Kheradmand et al., Eq. 9: equal at the centre, and equal integrals along a line."""
    each, scale = divided(torch.tensor([opacity]).double(), torch.tensor([num]))
    together = 1.0 - (1.0 - each) ** num
    torch.testing.assert_close(together, torch.tensor([opacity]).double())
    x = torch.linspace(-8.0, 8.0, 20_001).double()
    before = opacity * torch.exp(-0.5 * x**2)
    after = 1.0 - (1.0 - each * torch.exp(-0.5 * (x / scale) ** 2)) ** num
    torch.testing.assert_close(
        torch.trapezoid(after, x), torch.trapezoid(before, x), rtol=1e-6, atol=0
    )


def test_mcmc_moves_faded_splats_to_where_opaque_ones_are():
    splats = SplatParameters(100, 0)
    splats.fill(blob(100, 0.5, generator()))
    with torch.no_grad():
        splats.logits[:40] = -9.0
        splats.means[40:] += 3.0
    moved = MCMC(period=5, begin=0, noise=0.0).update(splats, 10, generator())
    assert set(range(40)) <= set(moved.tolist())
    assert (splats.means[:40].norm(dim=1) > 2.0).all()
    assert (splats.logits.sigmoid() > 0.005).all()


def test_mcmc_divides_splats_that_are_opaque_to_the_last_bit():
    """Of 1 there are no parts, and its logit is infinite for ever."""
    splats = SplatParameters(20, 0)
    splats.fill(blob(20, 0.5, generator()))
    with torch.no_grad():
        splats.logits[:10], splats.logits[10:] = -9.0, 17.0
    assert bool((splats.logits[10:].sigmoid() == 1.0).all())
    MCMC(period=5, begin=0, noise=0.0).update(splats, 10, generator())
    assert splats.logits.isfinite().all() and splats.log_scales.isfinite().all()
    assert (splats.logits[:10] < 14.0).all()  # of several each lets something through
    splats.logits.sum().backward()
    assert splats.logits.grad.isfinite().all()


@pytest.mark.parametrize("strategy", [MCMC(period=5, begin=0), AdaptiveDensity(period=5, begin=0)])
def test_splats_whose_turn_is_every_other_step_move_as_well(strategy):
    for turn in (0, 1):
        splats = SplatParameters(40, 0)
        splats.fill(blob(40, 0.5, generator()))
        strategy.prepare(40)
        with torch.no_grad():
            splats.logits[:10] = -9.0
        moves = 0
        for step in range(turn, 40, 2):
            with torch.no_grad():
                splats.logits[:10] = -9.0
                if isinstance(strategy, AdaptiveDensity):
                    strategy.observe(torch.ones(40), torch.ones(40, dtype=torch.bool))
            moves += len(strategy.update(splats, step, generator(), since=2)) > 0
        assert moves == 8, turn


def test_mcmc_keeps_still_before_its_time_after_it_and_between():
    for step in (0, 4, 7, 20, 25):
        splats = SplatParameters(50, 0)
        splats.fill(blob(50, 0.5, generator()))
        with torch.no_grad():
            splats.logits[:10] = -9.0
        before = splats.means.clone()
        moved = MCMC(period=5, begin=5, end=20, noise=0.0).update(splats, step, generator())
        assert len(moved) == 0
        assert torch.equal(splats.means, before)


def test_mcmc_shakes_faint_splats_and_leaves_opaque_ones():
    splats = SplatParameters(200, 0)
    splats.fill(blob(200, 0.5, generator()))
    with torch.no_grad():
        splats.logits[:100], splats.logits[100:] = -8.0, 2.0
    before = splats.means.clone()
    MCMC(period=7, begin=0).update(splats, 1, generator())
    moved = (splats.means - before).norm(dim=1)
    assert float(moved[:100].detach().mean()) > 1e-3
    assert float(moved[100:].detach().max()) < 1e-5


def test_density_adapts_where_centres_are_pulled():
    splats = SplatParameters(40, 0)
    splats.fill(blob(40, 0.5, generator()))
    strategy = AdaptiveDensity(period=10, begin=0, max_clone_size=0.05)
    strategy.prepare(40)
    with torch.no_grad():
        splats.logits[10:] = -20.0
        splats.log_scales[:5], splats.log_scales[5:10] = math.log(0.02), math.log(0.2)
    slopes = torch.zeros(40)
    slopes[[0, 1, 7]] = 1.0
    strategy.observe(slopes, torch.ones(40, dtype=torch.bool))
    before = splats.means[7].clone()
    strategy.update(splats, 10, generator())
    alive = splats.logits.sigmoid() > 0.005
    assert int(alive.sum()) == 13
    for cloned in (0, 1):
        assert int((splats.means[alive] == splats.means[cloned]).all(1).sum()) == 2
    assert not torch.equal(splats.means[7], before)
    assert float(splats.log_scales[7].detach().exp().amax()) == pytest.approx(0.2 / 1.6)
    assert (strategy.slopes == 0).all()


def test_gradients_of_a_render_reach_the_strategy():
    splats = small(num_splats=100, strategy=AdaptiveDensity()).train()
    splats.render(turntable(2), 16, 16).rgb.sum().backward()
    assert (splats.strategy.counts == 1).all()
    assert splats.strategy.slopes.sum() > 0


def test_replaced_rows_are_told_once():
    splats = small(num_splats=60, strategy=MCMC(period=1, begin=0))
    splats.splats.logits.data[:20] = -9.0
    splats.update(0)
    told = splats.take_replaced()
    assert {id(parameter) for parameter, _ in told} == {id(p) for p in splats.splats.parameters()}
    assert all(set(range(20)) <= set(rows.tolist()) for _, rows in told)
    assert splats.take_replaced() == []


def test_a_checkpoint_of_another_budget_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"has 70 splats with 3 .* 60 with 0: set num_splats"):
        small(num_splats=60).load_state_dict(small(num_splats=70, degree=1).state_dict())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_splats": 0}, "num_splats"),
        ({"degree": 4}, "degree"),
        ({"blob_radius": 0.0}, "radius"),
    ],
)
def test_arguments_out_of_range_are_named(options, said):
    with pytest.raises(ValueError, match=said):
        Splats(**options)


def test_splats_fit_pictures_of_another_object():
    """Optimising colours, shapes and places comes near to five pictures of a red ball."""
    target = small()
    target.start_from(ball_start(), 0)
    cameras = turntable(5)
    with torch.no_grad():
        wanted = target.eval().render(cameras, 24, 24)
    splats = small(num_splats=400, blob_radius=0.6, learn_background=False).train()
    optimizer = torch.optim.Adam(splats.parameter_groups())
    losses = []
    for step in range(80):
        splats.update(step)
        views = splats.render(cameras, 24, 24)
        loss = (views.rgb - wanted.rgb).square().mean() + (
            views.opacity - wanted.opacity
        ).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("name", ["NeRF", "Splats"])
def test_a_particle_is_read_from_a_run_that_had_penalties_and_a_strategy(name, tmp_path):
    """As the next stage of a job does, from the config that the run itself has saved."""
    ramp = {"start": 1.0, "end": 2.0, "begin_step": 0, "end_step": 9}
    options = {"penalties": {"sparsity": ramp}}
    if name == "NeRF":
        size = {"num_levels": 2, "log2_table_size": 8, "base_resolution": 4, "max_resolution": 8}
        particle = NeRF(seed=3, **size)
    else:
        size = {"num_splats": 30}
        particle = Splats(seed=3, strategy=AdaptiveDensity(), **size)
        options["strategy"] = {"class_path": "redream.representations.AdaptiveDensity"}
    state = {f"particles.0.{key}": value for key, value in particle.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    made = {"class_path": f"redream.representations.{name}", "init_args": {**size, **options}}
    config = {"model": {"representation": made}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    read = load_particle(tmp_path / "last.ckpt", 0)
    pictures = [each.eval().render(turntable(1), 12, 12).rgb for each in (particle, read)]
    assert torch.equal(*pictures)


def test_rows_that_have_no_splat_yet_wait_for_the_strategy():
    splats = small(num_splats=400, strategy=AdaptiveDensity(start_share=0.25, begin=0, period=10))
    assert len(splats.gaussians().means) == 100
    splats.start_from(ball_start(), 0)
    assert len(splats.gaussians().means) == 100
    splats.strategy.observe(torch.ones(400), torch.ones(400, dtype=torch.bool))
    splats.update(10)
    assert len(splats.gaussians().means) == 200  # each was cloned or split
    with pytest.raises(ValueError, match="start_share"):
        AdaptiveDensity(start_share=0.0)


def test_splats_start_from_the_splats_of_another_run(tmp_path):
    """As they are: no surface is looked for, and K particles take K others."""
    size = {"num_splats": 40, "degree": 1}
    state = {}
    for index in range(2):
        particle = Splats(seed=index, **size)
        torch.nn.init.normal_(particle.splats.rest)
        state |= {f"particles.{index}.{key}": x for key, x in particle.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    made = {"class_path": "redream.representations.Splats", "init_args": size}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"model": {"representation": made}}))
    for seed in range(3):
        taken = Splats(seed=seed, init_from=str(tmp_path / "last.ckpt"), **size)
        assert taken.is_started
        torch.testing.assert_close(taken.splats.means, state[f"particles.{seed % 2}.splats.means"])
        torch.testing.assert_close(taken.splats.rest, state[f"particles.{seed % 2}.splats.rest"])


def test_splats_start_on_the_surface_of_a_generated_mesh(tmp_path):
    box = trimesh.creation.box((1.0, 0.2, 1.0))
    box.visual.vertex_colors = [255, 0, 0, 255]
    (tmp_path / "box.glb").write_bytes(box.export(file_type="glb"))
    splats = small(num_splats=300, init_from=str(tmp_path / "box.glb"))
    gaussians = splats.gaussians()
    assert float(gaussians.means.norm(dim=1).max()) <= 0.9 + 1e-4
    flat = gaussians.means[:, 1].abs()
    assert float(flat.max()) == pytest.approx(
        0.2 * float(gaussians.means[:, 0].abs().max()), rel=0.1
    )
    red, green, blue = (0.2820948 * gaussians.harmonics[:, 0] + 0.5).mean(0).tolist()
    assert red > 0.9 and green < 0.1 and blue < 0.1
    with pytest.raises(FileNotFoundError, match="nowhere"):
        small(init_from=str(tmp_path / "nowhere.glb"))


def test_a_laptop_is_told_what_a_million_splats_take(monkeypatch):
    monkeypatch.setattr("redream.representations.splats._LARGE", 50)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(
        RuntimeWarning, match=r"^60 splats and no GPU: about 0.0 GB .* fewer num_splats"
    ):
        Splats(num_splats=60)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    Splats(num_splats=60)


@pytest.mark.parametrize("views", [1, 3])
def test_bytes_of_a_view_are_those_that_are_held(views, monkeypatch):
    """Every storage of a render and its backward pass is counted, at two budgets."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    from memory_counting import counted

    def held(num):
        splats = Splats(num_splats=num, blob_radius=0.7).train()
        for parameter in splats.parameters():
            parameter.grad = torch.zeros_like(parameter)  # counted with what is trained
        with counted(fake=False) as counter:
            return counter.extra(lambda: _backward(splats, views))

    each = (held(6000) - held(3000)) / 3000
    assert each / views == pytest.approx(_SPLAT_IN_A_VIEW, rel=0.45 if views == 1 else 0.25)
    assert Splats(num_splats=10).render_bytes(views, 100) == views * (10 * _SPLAT_IN_A_VIEW + 6400)


def _backward(splats, views):
    seen = splats.render(turntable(views), 24, 24)
    (seen.rgb.sum() + seen.opacity.sum()).backward()
