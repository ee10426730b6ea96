"""Priors that look at several views of an object together: what they are asked, and with what."""

import copy
from types import SimpleNamespace

import pytest
import torch
from sphere_run import Sphere
from two_discs import Discs

from redream.adapters import LightAdapter, VariationalAdapter
from redream.assets.references import ReferenceRenderer
from redream.cameras import concatenate, orbit, sample_cameras, turntable
from redream.method.adaptation import Adaptation, AdaptationSchedule
from redream.method.cameras import CameraSampler
from redream.method.guidance import ASD, CSD, ISM, SDI, SDS, VSD, Reuse
from redream.method.module import ReDream
from redream.method.noise import draw_noise, random_backgrounds
from redream.method.pictures import Pictures
from redream.priors import (
    BASE,
    GaussianPrior,
    Guided,
    LearnedViews,
    StableDiffusionPrior,
    azimuths_together,
    join_rows,
    views_together,
)
from redream.schedules import Ramp
from redream.testing.priors import PriorContract, noisy_rows
from redream.types import NoisyRows, References, key_generator

V = 4


class FourViews(GaussianPrior):
    """p(x_0 of a set) = N(mu, s^2 I) of each view, mu the picture that the poses ask for.

    Its views see each other: the answer to each has a little of the others' mean.
    """

    views_per_set, needs_poses = V, True
    learned_views = LearnedViews((0.0, 30.0), (15.0, 60.0), (0.8, 1.0))

    def predict_noise(self, rows):
        self.require_sets(rows)
        alpha, sigma = self.signal_and_noise(rows.timesteps)
        height = rows.poses[:, 1, 3].view(-1, 1, 1, 1) + rows.poses[:, 0, 3].view(-1, 1, 1, 1)
        sets = rows.latents.unflatten(0, (-1, V))
        seen = (sets + 0.1 * sets.mean(1, keepdim=True)).flatten(0, 1)
        variance = alpha.square() * self.std**2 + sigma.square()
        return sigma * (seen - alpha * (self.mean + 0.1 * height)) / variance


class TestFourViews(PriorContract):
    def make_prior(self):
        return FourViews()


class SeenSets(StableDiffusionPrior):
    """A real UNet that says of itself that it looks at four views, and keeps what it is asked."""

    views_per_set, needs_poses = V, True

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.asked = []

    def predict_noise(self, rows):
        self.asked.append(rows)
        return super().predict_noise(rows)


def assert_whole_sets(rows):
    """Each four rows: one time, one adapter, and cameras at equal steps of one circle."""
    assert len(rows.latents) % V == 0
    times = rows.timesteps.view(-1, V)
    assert torch.equal(times, times[:, :1].expand_as(times))
    positions = rows.poses[:, :3, 3].view(-1, V, 3)
    heights = positions[..., 1]
    torch.testing.assert_close(heights, heights[:, :1].expand_as(heights))
    azimuth = torch.atan2(positions[..., 0], positions[..., 2]).rad2deg()
    steps = torch.remainder(azimuth.roll(-1, 1) - azimuth, 360.0)
    torch.testing.assert_close(steps, torch.full_like(steps, 360.0 / V), atol=1e-3, rtol=0)
    names = [rows.adapters[i : i + V] for i in range(0, len(rows.adapters), V)]
    assert all(len(set(each)) == 1 for each in names)


def test_cameras_of_a_set_share_all_but_their_azimuth():
    found = sample_cameras(8, key_generator("t"), (0.0, 30.0), (1.0, 2.0), (15.0, 60.0), V)
    for each in (found.elevation_deg, found.distance, found.fovy_deg):
        sets = each.view(2, V)
        assert torch.equal(sets, sets[:, :1].expand_as(sets)) and sets[0, 0] != sets[1, 0]
    steps = torch.remainder(found.azimuth_deg.view(2, V).diff(dim=1), 360.0)
    torch.testing.assert_close(steps, torch.full_like(steps, 90.0), atol=1e-3, rtol=0)
    arcs = torch.remainder(found.azimuth_deg, 360.0).div(45.0).long()
    assert sorted(arcs.tolist()) == list(range(8))  # stratified over the whole circle


def test_views_of_any_field_of_view_can_show_equally_much():
    """Their half height at the origin is drawn, and the distance follows, as threestudio has it."""
    sampler = CameraSampler(8, fovy_deg=(15.0, 60.0), half_height=(0.8, 1.0))
    found = sampler.sample(8, key_generator("t"), V)
    shown = found.distance * torch.tan(torch.deg2rad(found.fovy_deg) / 2.0)
    assert 0.8 <= shown.min() < shown.max() <= 1.0 and found.fovy_deg.min() < 35.0
    sets = found.distance.view(2, V)
    assert torch.equal(sets, sets[:, :1].expand_as(sets)) and sets[0, 0] != sets[1, 0]
    nearest, farthest = sampler.distances
    assert nearest <= found.distance.min() and found.distance.max() <= farthest
    assert nearest == pytest.approx(0.8 * 3**0.5) and sampler.half_heights == (0.8, 1.0)
    plain = CameraSampler(distance=(2.0, 3.0), fovy_deg=(40.0, 60.0))
    assert plain.distances == (2.0, 3.0)
    assert plain.half_heights == pytest.approx((2.0 * 0.363970, 3.0 * 0.577350), rel=1e-5)


def test_a_distance_and_a_half_height_are_one_too_many():
    with pytest.raises(ValueError, match="set --model.cameras.half_height null") as refusal:
        CameraSampler(distance=(2.0, 3.0), half_height=(0.8, 1.0))
    assert "\n" not in str(refusal.value)
    with pytest.raises(ValueError, match="data.references.init_args has a distance"):
        ReferenceRenderer(distance=(2.0, 3.0), half_height=(0.8, 1.0))
    assert CameraSampler().distances == (2.8, 3.2)


def test_views_may_become_fewer_as_they_grow():
    """Eight of 64 pixels, then four of 256, as MVDream's authors have it; whole sets between."""
    sampler = CameraSampler(Ramp(8, 4, 50, 50), Ramp(64, 256, 50, 50))
    told = [(sampler.num_at(step, V), sampler.size_at(step)) for step in (0, 49, 50, 99)]
    assert told == [(8, 64), (8, 64), (4, 256), (4, 256)]
    assert sampler.nums == (4, 8) and sampler.most == (4, 256)
    assert CameraSampler(Ramp(32, 4, 50, 50), Ramp(64, 128, 50, 50)).most == (32, 64)
    slowly = CameraSampler(Ramp(12, 4, 0, 10))
    assert [slowly.num_at(step, V) for step in range(11)] == [12] + [8] * 5 + [4] * 5
    assert CameraSampler(3, 16).most == (3, 16) and CameraSampler(3).nums == (3,)
    with pytest.raises(ValueError, match="num_views 4"):
        views = CameraSampler(Ramp(8, 6, 5, 5), elevation_deg=(0.0, 30.0))
        ReDream(FourViews(), lambda seed: Sphere(), SDS(), cameras=views)
    views = CameraSampler(Ramp(8, 4, 1, 1), Ramp(8, 16, 1, 1), (0.0, 30.0))
    module = ReDream(FourViews(), lambda seed: Sphere(), SDS(), cameras=views)
    module._trainer = SimpleNamespace(datamodule=Discs(), global_step=0, current_epoch=0)
    drawn = [module._draw(0, step) for step in (0, 1)]
    assert [tuple(each.image.shape[::3]) for each in drawn] == [(8, 8), (4, 16)]


def test_sets_may_stand_at_azimuths_of_their_own():
    where = (0.0, 45.0, 90.0, 180.0, 270.0, 315.0)
    found = sample_cameras(12, key_generator("t"), views_per_set=6, azimuths_deg=where)
    expected = torch.tensor(where * 2)
    turned = torch.remainder(found.azimuth_deg - expected + 180.0, 360.0) - 180.0
    torch.testing.assert_close(turned, torch.zeros(12))
    at_steps = sample_cameras(12, key_generator("t"), views_per_set=6)
    assert torch.equal(found.elevation_deg, at_steps.elevation_deg)
    assert azimuths_together(GaussianPrior(), FourViews(), None) is None
    fixed = copy.copy(FourViews())
    fixed.set_azimuths_deg = (0.0, 45.0, 90.0, 180.0)
    assert azimuths_together(GaussianPrior(), fixed) == fixed.set_azimuths_deg
    with pytest.raises(ValueError, match="different azimuths"):
        azimuths_together(FourViews(), fixed)


def test_views_alone_have_the_cameras_times_and_colours_that_they_always_had():
    """The numbers of plain priors are those of before there were sets, to the last bit."""
    found, generator = sample_cameras(5, key_generator("t")), key_generator("t")
    offset, *others = (torch.rand(5, generator=generator) for _ in range(4))
    elevation, distance, fovy = others
    azimuth = (torch.arange(5) + offset) * (360.0 / 5)
    ranges = (-10.0 + 50.0 * elevation, 2.8 + (3.2 - 2.8) * distance, 40.0 + 0.0 * fovy)
    for mine, expected in zip(found, orbit(azimuth, *ranges), strict=True):
        assert torch.equal(mine, expected)
    latents, generator = torch.zeros(3, 1, 2, 2), key_generator("t")
    times, noise = draw_noise(latents, 1000, key_generator("t"))
    assert torch.equal(times, torch.randint(0, 1000, (3,), generator=generator))
    assert torch.equal(noise, torch.randn(3, 1, 2, 2, generator=generator))


def test_times_and_colours_are_a_sets_own_and_noise_a_views():
    times, noise = draw_noise(torch.zeros(8, 1, 2, 2), 1000, key_generator("t"), views_per_set=V)
    assert times.view(2, V).diff(dim=1).eq(0).all() and times[0] != times[V]
    assert len({tuple(each.flatten().tolist()) for each in noise}) == 8
    colors = random_backgrounds(8, key_generator("t"), 0.0, V).view(2, V, 3)
    assert colors.diff(dim=1).eq(0).all() and not torch.equal(colors[0, 0], colors[1, 0])


def test_rows_without_a_pose_get_zeros_where_others_have_one():
    rows = noisy_rows(GaussianPrior(), (BASE,) * 2)
    joined = join_rows([rows._replace(poses=None), rows])
    assert joined.poses[:2].eq(0).all() and torch.equal(joined.poses[2:], rows.poses)
    assert torch.equal(joined.select(slice(2, 3)).poses, rows.poses[:1])
    bare = rows._replace(poses=None)
    assert join_rows([bare, bare]).poses is None and bare.select(slice(0, 1)).poses is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (dict(cameras=CameraSampler(num_views=1)), "num_views 4"),
        (dict(cameras=CameraSampler(num_views=6)), "num_views 4"),
        (dict(adaptation=AdaptationSchedule(6)), "batch_size 4"),
        (
            dict(cameras=CameraSampler(num_views=4, elevation_deg=(-60.0, 20.0))),
            r"elevation_deg \[0,30\]",
        ),
        (
            dict(cameras=CameraSampler(num_views=4, fovy_deg=(40.0, 90.0))),
            r"--model.cameras.fovy_deg \[15,60\]",
        ),
        (
            dict(
                cameras=CameraSampler(num_views=4, elevation_deg=(0.0, 30.0), distance=(5.0, 6.0))
            ),
            r"farther away .*--model.cameras.half_height \[0.8,1\]",
        ),
        (
            dict(
                cameras=CameraSampler(num_views=4, elevation_deg=(0.0, 30.0), distance=(1.0, 3.0))
            ),
            r"nearer .*--model.cameras.half_height \[0.8,1\]",
        ),
    ],
)
def test_views_that_make_no_whole_set_are_refused_at_once(options, told):
    defaults = dict(cameras=CameraSampler(num_views=4, elevation_deg=(0.0, 30.0)))
    with pytest.raises(ValueError, match=told) as refusal:
        ReDream(FourViews(), lambda seed: Sphere(), SDS(), **(defaults | options))
    assert "\n" not in str(refusal.value)


def test_two_priors_of_other_sets_are_refused():
    six = copy.copy(FourViews())
    six.views_per_set = 6
    assert views_together(GaussianPrior(), FourViews(), None) == V
    with pytest.raises(ValueError, match="sets of 4 and of 6"):
        views_together(FourViews(), six)


class DiscsInSets(Discs):
    """The two discs from three sets of views each."""

    def __init__(self, views_per_set=V):
        super().__init__()
        cameras = [sample_cameras(12, key_generator("t", i), views_per_set=V) for i in range(2)]
        views = [self.render_asset(i, each, 16, 16) for i, each in enumerate(cameras)]
        self.references = References(
            torch.cat([torch.cat([v.rgb, v.opacity], 1) for v in views]),
            concatenate(cameras),
            ("a cat", "a tree"),
            torch.arange(2).repeat_interleave(12),
            views_per_set,
        )


@pytest.fixture(scope="module")
def seen_sets(sd_folders):
    return SeenSets(str(sd_folders["epsilon"]))


@pytest.mark.parametrize(
    "way",
    [
        SDS(rescale=0.5),
        SDS(path_steps=3),
        VSD(),
        VSD(VariationalAdapter(), share_noise=True),
        ASD(),
        CSD(),
        ISM(stride=300),
        SDI(num_steps=3),
        Reuse(SDS(), 2),
    ],
    ids=lambda way: type(way).__name__,
)
def test_every_way_asks_for_whole_sets(seen_sets, way):
    """Two particles of two sets, corrected by their assets, adapter and all: Eqs. 2, 4, 5, 20."""
    prior = copy.deepcopy(seen_sets)
    module = ReDream(
        prior,
        lambda seed: Sphere(),
        copy.deepcopy(way),
        LightAdapter(rank=1, view_contrast=1.0, anchor=0.5),
        cameras=CameraSampler(num_views=2 * V, render_size=16),
        adaptation=AdaptationSchedule(batch_size=2 * V),
        pictures=Pictures(random_background=1.0, white_share=0.0),
    )
    module._trainer = SimpleNamespace(datamodule=DiscsInSets(), global_step=0, current_epoch=0)
    module._fabric = None
    module.setup("fit")
    module.on_fit_start()
    drawn = [module._draw(index, 0) for index in (0, 1)]
    for each in drawn:
        colors = each.background.view(2, V, 3)
        assert colors.diff(dim=1).eq(0).all()
    prior.asked.clear()
    module._denoising_losses(drawn, 0)
    module._gradients(drawn, 0)
    assert prior.asked
    for rows in prior.asked:
        assert_whole_sets(rows)
    scored = [rows for rows in prior.asked if "omega" in rows.adapters]
    own = torch.cat([each.cameras.c2w for each in drawn])
    assert any(torch.equal(rows.poses[: len(own)], own) for rows in scored)


def test_adaptation_teaches_whole_sets_of_one_asset_and_holds_out_others(seen_sets):
    prior = copy.deepcopy(seen_sets)
    omega = LightAdapter(rank=1, held_out_every=3)
    omega.attach(prior)
    assets = DiscsInSets()
    made = Adaptation(prior, omega, assets, AdaptationSchedule(2 * V))
    references = assets.references.cameras.c2w
    learned = set()
    for step in range(12):
        rows = made.batch(step).rows
        assert_whole_sets(rows)
        for part in rows.poses.split(V):
            found = (references[:, None] == part[None]).all(dim=(2, 3)).nonzero()[:, 0].tolist()
            assert len(set(assets.references.asset_index[found].tolist())) == 1
            learned.add(tuple(found))
    assert len(learned) == 4 and not {(8, 9, 10, 11), (20, 21, 22, 23)} & learned
    prior.asked.clear()
    assert made.held_out_loss() > 0
    held_out = torch.cat([rows.poses for rows in prior.asked])
    assert torch.equal(held_out, references[[8, 9, 10, 11, 20, 21, 22, 23]])


def test_each_process_takes_whole_sets(seen_sets):
    prior = copy.deepcopy(seen_sets)
    omega = LightAdapter(rank=1)
    omega.attach(prior)
    made = Adaptation(prior, omega, DiscsInSets(), AdaptationSchedule(2 * V))
    whole, one, two = (
        made.batch(0, s).rows for s in (slice(None), slice(0, None, 2), slice(1, None, 2))
    )
    assert len(one.latents) == len(two.latents) == V
    assert torch.equal(torch.cat([one.latents, two.latents]), whole.latents)


def test_references_alone_cannot_teach_a_prior_of_sets(seen_sets):
    prior = copy.deepcopy(seen_sets)
    omega = LightAdapter(rank=1)
    omega.attach(prior)
    with pytest.raises(ValueError, match="views_per_set 4"):
        Adaptation(prior, omega, DiscsInSets(views_per_set=1), AdaptationSchedule(V))


def test_rescaled_guidance_is_mvdreams_formula():
    """x_0 <- r f x_0 + (1 - r) x_0, f = std(x_0 cond) / std(x_0 guided) over each set of views."""
    prior = FourViews(double=True)
    rows = noisy_rows(prior, (BASE,) * 2)

    def shifted(rows):  # the text moves the answer
        return FourViews.predict_noise(prior, rows) + 0.3 * rows.text[..., None] * rows.latents

    prior.predict_noise = shifted
    rows = rows._replace(text=torch.ones_like(rows.text))
    negative = torch.zeros_like(rows.text)
    (found,) = prior.predict_guided(Guided(rows, 50.0, negative, rescale=0.5))
    cond, uncond = shifted(rows), shifted(rows._replace(text=negative))
    alpha, sigma = prior.signal_and_noise(rows.timesteps)
    clean, plain = (
        ((rows.latents - sigma * eps) / alpha).view(2, V, 3, 8, 8)
        for eps in (uncond + 50.0 * (cond - uncond), cond)
    )
    factor = plain.std((1, 2, 3, 4), keepdim=True) / clean.std((1, 2, 3, 4), keepdim=True)
    expected = (0.5 * factor * clean + 0.5 * clean).flatten(0, 1)
    torch.testing.assert_close((rows.latents - sigma * found) / alpha, expected)
    assert not torch.allclose(expected, clean.flatten(0, 1), rtol=0.05)


def test_a_prior_of_sets_samples_the_asked_view_of_a_set():
    """Pictures of the front, the side and the back are the first of a set that begins there."""
    from redream.metrics.prior_balance import sample_pictures

    asked = []

    class Kept(FourViews):
        def predict_noise(self, rows):
            asked.append(rows)
            return super().predict_noise(rows)

    pictures = {
        view: sample_pictures(Kept(), ["a dog"] * 2, 1.0, 0, view=view)
        for view in ("front", "side", "back")
    }
    assert all(each.shape == (2, 3, 8, 8) for each in pictures.values())
    firsts = [rows.poses[0, :3, 3] for rows in asked]
    names = {tuple(torch.sign(each.round(decimals=3))[[0, 2]].tolist()) for each in firsts}
    assert names == {(0.0, 1.0), (1.0, 0.0), (0.0, -1.0)}
    assert_whole_sets(asked[0])


def test_turntables_are_sets():
    rows = noisy_rows(FourViews(), (BASE,))
    assert torch.equal(rows.poses, turntable(V).c2w)
    assert isinstance(rows, NoisyRows)
