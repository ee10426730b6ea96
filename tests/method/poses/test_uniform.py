"""Poses kept even: closed forms, finite differences in float64, and what it costs."""

import math
from types import SimpleNamespace

import pytest
import torch

from redream.cameras import orbit, turntable
from redream.method.guidance import ASD, SDS, Guidance, Reuse
from redream.method.poses import PictureFeatures, PoseClassifier, Poses, UniformPoses
from redream.method.poses.marginal import MovingMeans, limit_length, rarity, wrongness
from redream.method.terms import Drawn
from redream.priors import GaussianPrior
from redream.priors.prompting import Conditioning
from redream.schedules import Ramp, TimestepRange
from redream.training.processes import Processes
from redream.types import References

ON = Ramp(1.0, 1.0)
STD, REACH = 0.1, 0.3  # of each pose's pictures: their spread, and how far they are from grey


class TwoPoses(GaussianPrior):
    """Pictures are light (the front, with probability pi) or dark (the back): two Gaussians."""

    def __init__(self, front=0.9, image_size=2):
        super().__init__(image_size, mean=0.5, std=STD, double=True)
        self.front, self.num_rows = front, 0
        self.means = torch.stack([self.mean + REACH, self.mean - REACH])

    def log_densities(self, noisy, timesteps):
        """Of both poses at x_t, with their probabilities, up to one constant."""
        alpha, sigma = self.signal_and_noise(timesteps)
        variance = (alpha * STD).square() + sigma.square()
        off = noisy[:, None] - alpha[:, None] * self.means
        share = torch.tensor([self.front, 1.0 - self.front]).double().log()
        return share - off.square().flatten(2).sum(2) / (2.0 * variance.view(-1, 1))

    def predict_noise(self, rows):
        self.num_rows += len(rows.latents)
        alpha, sigma = self.signal_and_noise(rows.timesteps)
        variance = (alpha * STD).square() + sigma.square()
        pose = self.log_densities(rows.latents, rows.timesteps).softmax(1)
        mean = (pose[:, :, None, None, None] * self.means).sum(1)
        return sigma * (rows.latents - alpha * mean) / variance


class Brightness(PictureFeatures):
    """The mean of a picture, less that of grey."""

    name = "brightness"

    def of(self, pictures):
        return pictures.mean(dim=(1, 2, 3))[:, None] - 0.5


def classifier(slope=40.0, bias=0.0):
    """P(light) is a logistic function of brightness."""
    weight = torch.tensor([[slope / 2], [-slope / 2]]).double()
    return PoseClassifier(
        Brightness(), torch.zeros(1).double(), torch.ones(1).double(), weight,
        torch.tensor([bias / 2, -bias / 2]).double(), 1.0, 0.9, 0.0, 100, "views",
    )  # fmt: skip


def bayes(front):
    """The exact p(c | x_0) of :class:`TwoPoses`: its log odds are linear in brightness."""
    num = 12  # numbers of a picture
    return classifier(2.0 * num * REACH / STD**2, math.log(front / (1.0 - front)))


def begun(way, prior):
    """A way to distil that has met the prior."""

    def condition(cameras, step):
        return [Conditioning(torch.zeros(cameras.num, 1, 1).double())]

    prompts = SimpleNamespace(negative=torch.zeros(1, 1, 1).double(), condition=condition)
    way.begin(prior, None, prompts)
    return way


def drawn_of(latents, timesteps, particle=0, azimuth_deg=None, seed=0):
    """What a particle draws whose pictures are its latents."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(latents.shape, generator=generator, dtype=torch.float64)
    cameras = turntable(len(latents))
    if azimuth_deg is not None:
        ones = torch.ones(len(latents))
        cameras = orbit(torch.tensor(azimuth_deg), 0 * ones, 3 * ones, 40 * ones)
    return Drawn(
        particle, cameras, None, None, latents.detach(), latents, timesteps, noise, generator
    )


def step_of(poses, way, drawn, step=0, processes=Processes()):  # noqa: B008
    """The guidance's gradients, what became of them, and the term."""
    before = way.gradients(drawn, step, lambda each: None)
    after, losses = poses.act(drawn, before, way, step, processes)
    return before, after, losses


def latents_of(*levels):
    """Pictures that are somewhat uneven about a grey level."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(len(levels), 3, 2, 2, generator=generator, dtype=torch.float64)
    level = torch.tensor(levels, dtype=torch.float64).view(-1, 1, 1, 1)
    return (level + 0.1 * noise - 0.05).requires_grad_()


# What the term is


def test_an_even_marginal_asks_for_nothing():
    shows = torch.rand(5, 4, dtype=torch.float64).softmax(1).requires_grad_()
    found = rarity(shows, torch.full((5, 4), 0.25).double())
    torch.testing.assert_close(found, torch.zeros(5).double())
    (gradient,) = torch.autograd.grad(
        rarity(shows.softmax(1), torch.full((5, 4), 0.25)).sum(), shows
    )
    assert float(gradient.abs().max()) < 1e-12


@pytest.mark.parametrize("front", [0.6, 0.9, 0.99])
def test_it_turns_the_priors_score_into_that_of_even_poses(front):
    """p(x) mean_c p(c | x) / p(c) is the even mixture, so its score is the sum of both."""
    prior, t = TwoPoses(front), torch.full((7,), 400)
    x = latents_of(0.1, 0.2, 0.4, 0.5, 0.6, 0.8, 0.9)
    joint = prior.log_densities(x, t)
    p_c = torch.tensor([front, 1.0 - front]).double().expand(7, 2)
    term = torch.autograd.grad(rarity(joint.softmax(1), p_c).sum(), x, retain_graph=True)[0]
    score = torch.autograd.grad(joint.logsumexp(1).sum(), x)[0]
    even = torch.autograd.grad(TwoPoses(0.5).log_densities(x, t).logsumexp(1).sum(), x)[0]
    torch.testing.assert_close(score + term, even)


@pytest.mark.parametrize("weight", [0.5, 1.0, 4.0])
def test_where_it_settles(weight):
    """The marginal that it divides by is the particles' own, which it evens out in turn: where both
    agree, the log odds of the front are those of the prior over 1 + weight."""
    front, x = 0.9, torch.linspace(-1, 2, 4001).double()
    log_p = torch.stack([-((x - 0.5 - s * 0.3) ** 2) / (2 * STD**2) for s in (1, -1)], 1)
    log_p = log_p + torch.tensor([front, 1 - front]).double().log()
    shows, means = log_p.softmax(1), MovingMeans(torch.full((1, 1, 2), 0.5).double(), 10.0)
    first = torch.zeros(1, dtype=torch.long)
    for _ in range(400):
        marginal = means.at(first, first)
        density = log_p.logsumexp(1) + weight * rarity(shows, marginal.expand(len(x), 2))
        means.update(first, first, density.softmax(0)[None] @ shows)
    found = float(torch.logit(means.at(first, first)[0, 0]))
    assert found == pytest.approx(math.log(9.0) / (1 + weight), rel=0.02)


def descend(weight, steps=150, slope=20.0, bound=4.0):
    """Two views of one particle, both of which begin as a front; the prior wants fronts."""
    prior = TwoPoses(0.95)
    way = begun(SDS(scale=1.0, timesteps=TimestepRange(Ramp(0.3, 0.3), Ramp(0.6, 0.6))), prior)
    config = UniformPoses(
        weight=Ramp(weight, weight), num_poses=2, num_ranges=1, memory=16.0, bound=bound
    )
    poses = Poses(config, classifier(slope), 1)
    x = latents_of(0.8, 0.58)
    for step in range(steps):
        t = way.timesteps.sample(2, step, 1000, torch.Generator().manual_seed(step))
        drawn = [drawn_of(x, t, seed=step)]
        _, (gradient,), losses = step_of(poses, way, drawn, step)
        (term,) = torch.autograd.grad(losses["poses"], x) if losses else (torch.zeros_like(x),)
        x = (x - 0.1 * (gradient + 2 * term)).detach().requires_grad_()
    return Brightness().of(x)[:, 0].tolist(), poses.marginals.values[0, 0].tolist()


def test_two_views_of_one_face_become_a_front_and_a_back():
    """Alone the prior ends in two fronts. With the term the less certain one turns around. Where it
    may be no longer than the guidance it can hold that view between the poses, but not turn it."""
    (sure, unsure), _ = descend(weight=0.0)
    assert sure == pytest.approx(REACH, abs=0.06) and unsure == pytest.approx(REACH, abs=0.06)
    (front, back), marginal = descend(weight=1.0)
    assert front > 0.1 and back < -0.1 and marginal[0] < 0.9
    (front, held), marginal = descend(weight=10.0, bound=1.0)
    assert front > 0.1 and abs(held) < 0.05 and marginal[0] > 0.9


# Its gradient


@pytest.mark.parametrize("per_latent", [False, True])
def test_it_is_to_the_guidance_what_it_is_at_another_size(per_latent):
    """The same picture, each number of which is repeated: the guidance grows by the root of how
    many there are, and the gradient of one answer shrinks by it."""
    shares = []
    for repeats in (1, 4):
        way = begun(SDS(scale=1.0), GaussianPrior(2 * repeats, mean=0.5, std=STD, double=True))
        config = UniformPoses(ON, per_latent=per_latent, num_poses=2, num_ranges=1, bound=1e9)
        poses = Poses(config, classifier(), 1)
        poses.marginals.values[0] = torch.tensor([[0.8, 0.2]])
        small = drawn_of(latents_of(0.45, 0.55), torch.tensor([200, 500]))
        large = (
            each.detach().repeat_interleave(repeats, 2).repeat_interleave(repeats, 3)
            for each in (small.latents, small.noise)
        )
        x, noise = next(large).requires_grad_(), next(large)
        drawn = small._replace(image=x.detach(), latents=x, noise=noise)
        (before,), _, losses = step_of(poses, way, [drawn])
        (term,) = torch.autograd.grad(losses["poses"], x)
        # a loss per element of the sum of all rows, as guidance_loss has it
        shares.append(len(x) * term.flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1))
    torch.testing.assert_close(shares[1], shares[0] * (1.0 if per_latent else 1 / 16))


@pytest.mark.parametrize("through_network", [False, True])
def test_the_gradient_is_that_of_the_loss_by_finite_differences(through_network):
    prior = TwoPoses(0.8)
    way = begun(SDS(scale=3.0, weighting="sigma_squared"), prior)
    config = UniformPoses(
        weight=Ramp(2.0, 2.0), num_poses=2, bound=1e9, through_network=through_network
    )
    poses = Poses(config, classifier(), 1)
    poses.marginals.values[0] = torch.tensor([[0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.5, 0.5]])
    t, x = torch.tensor([100, 300, 600]), latents_of(0.45, 0.5, 0.55)
    drawn = drawn_of(x, t)
    marginal = poses.marginals.values[0, t * 4 // 1000].clone()
    _, _, losses = step_of(poses, way, [drawn])
    (found,) = torch.autograd.grad(losses["poses"], x)
    found = found * len(x)  # guidance_loss is a mean over the views

    alpha, sigma = prior.signal_and_noise(t)
    noisy = prior.add_noise(x.detach(), drawn.noise, t)
    frozen = way.heard.eps

    def loss(latents):
        noisy = prior.add_noise(latents, drawn.noise, t)
        eps = frozen
        if through_network:
            rows = way.rows(way.scored([drawn], [latents], 0), noisy)
            (eps,) = way.predict(way.guided(way.scored([drawn], [latents], 0), rows))
        clean = (noisy - sigma * eps) / alpha
        shows = poses.classifier.probabilities(clean.clamp(0, 1))
        weight = 2.0 * sigma.flatten() ** 3 / alpha.flatten()
        return -(weight * rarity(shows, marginal)).sum()

    clean = (noisy - sigma * frozen) / alpha
    assert 0.0 < float(clean.min()) and float(clean.max()) < 1.0  # where nothing is clamped
    expected, step = torch.zeros_like(x), 1e-6
    with torch.no_grad():
        for place in range(x.numel()):
            shift = torch.zeros_like(x).flatten()
            shift[place] = step
            shift = shift.view_as(x)
            slope = (loss(x + shift) - loss(x - shift)) / (2 * step)
            expected.view(-1)[place] = slope
    assert float(expected.abs().max()) > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)


def test_it_is_never_longer_than_the_guidances():
    gradient, other = torch.randn(2, 6, 4, 3, 3, dtype=torch.float64)
    gradient = gradient * torch.tensor([0.0, 1e-3, 0.5, 1, 10, 1e9]).view(-1, 1, 1, 1)
    found = limit_length(gradient, other, bound=0.5)
    lengths = [each.flatten(1).norm(dim=1) for each in (gradient, other, found)]
    torch.testing.assert_close(lengths[2], torch.minimum(lengths[0], 0.5 * lengths[1]))
    torch.testing.assert_close(found[1], gradient[1])
    cosine = torch.cosine_similarity(found[5].flatten(), gradient[5].flatten(), dim=0)
    assert float(cosine) == pytest.approx(1.0)
    assert limit_length(gradient, torch.zeros_like(other)).abs().max() == 0.0


def test_a_step_bounds_it_by_the_weighted_guidance():
    way = begun(SDS(scale=1.0, weight=Ramp(0.25, 0.25)), TwoPoses())
    poses = Poses(UniformPoses(weight=Ramp(1e6, 1e6), num_poses=2, bound=2.0), classifier(), 1)
    poses.marginals.values[..., 0], poses.marginals.values[..., 1] = 0.9, 0.1
    x = latents_of(0.5, 0.6)
    (own,), _, losses = step_of(poses, way, [drawn_of(x, torch.tensor([300, 500]))])
    (term,) = torch.autograd.grad(2 * losses["poses"], x)
    lengths = [each.flatten(1).norm(dim=1) for each in (term, own)]
    torch.testing.assert_close(lengths[0], 2.0 * 0.25 * lengths[1])


# The form without a gradient


def test_the_wrong_pose_is_the_one_that_the_camera_cannot_see():
    shows = torch.tensor([[0.7, 0.1, 0.1, 0.1]] * 6)
    azimuth = torch.tensor([0.0, 59.0, 61.0, 90.0, 180.0, -61.0])
    found = wrongness(shows, azimuth, tolerance_deg=15.0)
    torch.testing.assert_close(found, torch.tensor([0, 0, 6, 6, 6, 6.0]) / 7)
    assert wrongness(torch.full((1, 4), 0.25), torch.zeros(1), 0.0) == 0.0  # knows nothing
    both = torch.tensor([[0.5, 0.5, 0.0, 0.0]])
    assert wrongness(both, torch.tensor([45.0]), 15.0) == 0.0


@pytest.mark.parametrize("doubt", [0.5, 1.0])
def test_a_view_that_shows_the_wrong_pose_is_distilled_less(doubt):
    """The back's camera sees a front, the front's camera too, and the back's sees a back."""
    prior = TwoPoses(0.9)
    way = begun(SDS(scale=1.0), prior)
    config = UniformPoses(doubt=Ramp(doubt, doubt), num_poses=2, tolerance_deg=0.0)
    poses, x = Poses(config, bayes(0.9), 1), latents_of(0.8, 0.8, 0.2)
    drawn = drawn_of(x, torch.full((3,), 100), azimuth_deg=[180.0, 0.0, 180.0])
    (before,), (after,), losses = step_of(poses, way, [drawn])
    assert losses == {}
    share = (after / before).flatten(1).mean(1)
    torch.testing.assert_close(
        share, torch.tensor([1 - doubt, 1.0, 1.0]).double(), rtol=0, atol=1e-6
    )


# Cost, time, and what is counted


@pytest.mark.parametrize("way", [SDS, ASD])
@pytest.mark.parametrize(
    ("config", "rows"),
    [
        (dict(weight=ON, doubt=ON), 0),
        (dict(watch=True), 0),
        (dict(weight=ON, through_network=True), 2),
        (dict(weight=ON, through_network=True, period=2), 1),
    ],
    ids=["heard", "watched", "through", "seldom"],
)
def test_its_cost_in_rows_of_the_network(way, config, rows):
    """Rows a view and step beyond the guidance's own; what the guidance asked is heard for free."""
    prior = TwoPoses()
    way = begun(way(scale=7.5), prior)
    poses, x = (
        Poses(UniformPoses(num_poses=2, **config), classifier(), 1),
        latents_of(0.4, 0.6, 0.5),
    )
    drawn = [drawn_of(x, torch.tensor([50, 300, 900]))]
    extra = 0
    for step in range(2):
        gradients = way.gradients(drawn, step, lambda each: None)
        prior.num_rows = 0
        poses.act(drawn, gradients, way, step)
        extra += prior.num_rows
    assert extra == 2 * 3 * rows


def test_it_acts_in_its_own_steps_and_at_its_own_strength():
    way, x = begun(SDS(scale=1.0), TwoPoses()), latents_of(0.4, 0.6)
    drawn = [drawn_of(x, torch.tensor([300, 500]))]
    config = UniformPoses(weight=Ramp(0.0, 2.0, 4, 8), num_poses=2, period=3)
    poses = Poses(config, classifier(), 1)
    due = [bool(step_of(poses, way, drawn, step)[2]) for step in range(10)]
    assert due == [step in (6, 9) for step in range(10)]


def test_each_range_of_times_and_each_particle_has_its_own_marginal():
    way, x = begun(SDS(scale=1.0), TwoPoses(0.9)), latents_of(0.8, 0.8)
    poses = Poses(UniformPoses(doubt=ON, num_poses=2, memory=4.0), bayes(0.9), 3)
    step_of(poses, way, [drawn_of(x, torch.tensor([10, 999]), particle=1)])
    changed = (poses.marginals.values - 0.5).abs().amax(2) > 1e-3
    assert changed.tolist() == [[False] * 4, [True, False, False, True], [False] * 4]
    assert float(poses.marginals.values[1, 0, 0]) == pytest.approx(0.75 * 0.5 + 0.25, abs=1e-3)


def test_moving_means_are_exponential():
    means = MovingMeans(torch.zeros(2, 3, 1), memory=4.0)
    at = torch.tensor([1]), torch.tensor([2])
    for _ in range(5):
        means.update(*at, torch.ones(1, 1))
    assert float(means.at(*at)) == pytest.approx(1 - 0.75**5)
    means.update(at[0].repeat(2), at[1].repeat(2), torch.tensor([[0.0], [1.0]]))  # two at once
    assert float(means.at(*at)) == pytest.approx(0.5625 * (1 - 0.75**5) + 0.4375 * 0.5)
    assert means.counts.sum() == 7 and float(means.values.sum()) == float(means.at(*at))


def test_what_is_not_finite_is_not_remembered():
    means = MovingMeans(torch.full((1, 1, 2), 0.5), memory=2.0)
    here = torch.zeros(2, dtype=torch.long)
    means.update(here, here, torch.tensor([[torch.nan, 1.0], [1.0, 0.0]]))
    assert means.values.flatten().tolist() == [0.75, 0.25] and means.counts.sum() == 1


class Second(Processes):
    """One of two processes, which hears what the other has to add."""

    other = 0.0

    def total(self, values):
        return values + self.other


def test_processes_agree_on_the_means():
    """Each tells the sums of its own particles; together they are those of one process."""
    start, values = torch.full((2, 1, 2), 0.5), torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    which, zero = torch.tensor([0, 1]), torch.zeros(2, dtype=torch.long)
    alone = MovingMeans(start, 8.0)
    alone.update(which, zero, values)
    mine, told = MovingMeans(start, 8.0), Second(0, 2)
    told.other = torch.tensor([[0.0, 0.0, 0.0], [0.2, 0.8, 1.0]]).double()
    mine.update(which[:1], zero[:1], values[:1], told)
    torch.testing.assert_close(mine.values, alone.values)
    assert torch.equal(mine.counts, alone.counts)


def test_faces_are_counted_over_the_circle():
    """A particle that is light from everywhere shows two fronts where there are two poses."""
    way, poses = (
        begun(SDS(), TwoPoses()),
        Poses(UniformPoses(watch=True, num_poses=2), classifier(), 2),
    )
    assert poses.num_faces is None
    azimuths = [30.0 * i + 15.0 for i in range(12)]
    t = torch.full((12,), 500)
    half = latents_of(*[0.9 if i < 3 or i > 8 else 0.1 for i in range(12)])
    step_of(poses, way, [drawn_of(half, t, 0, azimuths[:11] + [300.0])])  # one arc is not seen
    assert poses.num_faces is None
    step_of(poses, way, [drawn_of(half, t, 0, azimuths)])
    assert poses.num_faces == pytest.approx(1.0 * (1 - 0.75**2), abs=0.1)
    for _ in range(12):
        step_of(poses, way, [drawn_of(half, t, 0, azimuths)])
    assert poses.num_faces == pytest.approx(1.0, abs=0.03)
    for _ in range(14):
        step_of(poses, way, [drawn_of(latents_of(*[0.9] * 12), t, 1, azimuths)])
    assert poses.num_faces == pytest.approx(2.0, abs=0.06)  # the one with the most


def test_a_run_goes_on_with_what_was_counted():
    way, x = begun(SDS(scale=1.0), TwoPoses()), latents_of(0.8, 0.6)
    first, second = (Poses(UniformPoses(weight=ON, num_poses=2), classifier(), 1) for _ in "ab")
    drawn = [drawn_of(x, torch.tensor([300, 500]))]
    for step in range(3):
        step_of(first, way, drawn, step)
    second.load_state(first.state())
    losses = [step_of(each, way, drawn, 3)[2]["poses"] for each in (first, second)]
    assert torch.equal(*losses) and float(losses[0].detach()) > 0
    other = Poses(UniformPoses(weight=ON, num_poses=2), classifier(), 2)
    with pytest.raises(ValueError, match=r"poses.marginals.\w+ has the shape \(1, .*keep num_p"):
        other.load_state(first.state())


# What the ways to distil tell, and bad inputs


def test_reused_scores_are_judged_once():
    way, x = begun(Reuse(SDS(scale=1.0), num_fits=3), TwoPoses()), latents_of(0.4, 0.6)
    poses = Poses(UniformPoses(weight=ON, num_poses=2), classifier(), 1)
    drawn = [drawn_of(x, torch.tensor([300, 500]))]
    due = [bool(step_of(poses, way, drawn, step)[2]) for step in range(6)]
    assert due == [True, False, False, True, False, False]


@pytest.mark.parametrize("doubt", [0.5, 1.0])
def test_a_view_that_shows_the_wrong_pose_is_not_fitted_to_either(doubt):
    """What is doubted when it is scored is doubted as long as the score serves."""
    way = begun(Reuse(SDS(scale=1.0), num_fits=3), TwoPoses(0.9))
    config = UniformPoses(doubt=Ramp(doubt, doubt), num_poses=2, tolerance_deg=0.0)
    poses, x = Poses(config, bayes(0.9), 1), latents_of(0.8, 0.8)
    drawn = drawn_of(x, torch.full((2,), 100), azimuth_deg=[180.0, 0.0])
    (before,), (after,), _ = step_of(poses, way, [drawn])
    way.keep([drawn], [after])  # as the module does
    (fitted,), (same,), _ = step_of(poses, way, [drawn], step=1)
    torch.testing.assert_close(fitted, after)
    torch.testing.assert_close(same, fitted)
    share = (fitted / before).flatten(1).mean(1)
    torch.testing.assert_close(share, torch.tensor([1 - doubt, 1.0]).double(), atol=1e-6, rtol=0)
    way.keep([drawn], [torch.ones_like(fitted)])  # a step that only fits has no new target
    torch.testing.assert_close(step_of(poses, way, [drawn], step=2)[0][0], fitted)


@pytest.mark.parametrize(("period", "due"), [(1, [0, 1, 2, 3, 4, 5]), (2, [0, 1, 4, 5])])
def test_particles_that_take_turns_are_watched_alike(period, due):
    """Two particles, one a step: a period of two rounds is not every step of one of them."""
    poses = Poses(UniformPoses(watch=True, num_poses=2, period=period), bayes(0.9), 2, 2)
    way, x = begun(SDS(scale=1.0), TwoPoses(0.9)), latents_of(0.8, 0.2)
    seen = []
    for step in range(6):
        before = poses.shown.counts.clone()
        step_of(poses, way, [drawn_of(x, torch.full((2,), 100), particle=step % 2)], step)
        if not torch.equal(before, poses.shown.counts):
            seen.append(step)
    assert seen == due


class Silent(Guidance):
    """A way that asks the prior behind everyone's back."""

    def gradient(self, at):
        return self.prior.predict_noise(self.rows(at))


def test_a_way_that_does_not_say_what_it_asked_is_told_what_to_do():
    way, x = begun(Silent(), TwoPoses()), latents_of(0.4, 0.6)
    drawn = [drawn_of(x, torch.tensor([300, 500]))]
    poses = Poses(UniformPoses(weight=ON, num_poses=2), classifier(), 1)
    with pytest.raises(ValueError, match="^Silent asks the prior .*through_network true$"):
        step_of(poses, way, drawn)
    poses = Poses(UniformPoses(weight=ON, num_poses=2, through_network=True), classifier(), 1)
    assert set(step_of(poses, way, drawn)[2]) == {"poses"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (dict(period=0), "poses: period must be at least 1, got 0"),
        (dict(num_poses=1), "poses: num_poses must be at least 2, got 1"),
        (dict(doubt=Ramp(0.0, 1.5)), "poses: doubt must stay between 0 and 1"),
        (dict(weight=Ramp(-1.0, 0.0)), "poses: weight, bound and tolerance_deg must not be neg"),
    ],
)
def test_values_out_of_range_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        UniformPoses(**arguments)


def views(is_round):
    """Views of two assets, light from the front and dark from behind; or grey all around."""
    cameras = turntable(24)
    shade = torch.cos(torch.deg2rad(cameras.azimuth_deg)) * (0.0 if is_round else 0.4) + 0.5
    rgba = torch.cat([shade.view(-1, 1, 1, 1).expand(-1, 3, 8, 8), torch.ones(24, 1, 8, 8)], 1)
    twice = cameras.select(torch.arange(24).repeat(2))
    return References(
        rgba.repeat(2, 1, 1, 1), twice, ("a", "b"), torch.arange(2).repeat_interleave(24)
    )


def assets(is_round=False, fronts=()):
    orientations = [SimpleNamespace(has_front=each) for each in fronts]
    return SimpleNamespace(references=views(is_round), orientations=orientations)


WATCHING = UniformPoses(watch=True, num_poses=2, features=Brightness())


def test_it_says_what_the_classifier_is_worth(capsys):
    poses = WATCHING.begin(assets(), 1, 0)
    assert poses is not None and poses.classifier.accuracy > 0.9
    said = capsys.readouterr().err
    assert said.startswith("redream: model.poses: 2 poses told apart in ")
    assert "of held-out assets (chance 50%), calibration error 0." in said
    assert said.endswith("from 48 views by brightness\n")


def test_off_means_off():
    assert UniformPoses().begin(None, 1, 0) is None


def test_it_turns_itself_off_where_no_asset_has_a_front():
    with pytest.warns(RuntimeWarning, match="model.poses is off: none of the assets has a front"):
        assert WATCHING.begin(assets(fronts=[False, False]), 1, 0) is None


def test_only_assets_with_a_front_teach():
    assert WATCHING.begin(assets(fronts=[True, False]), 1, 0).classifier.num_views == 24


def test_it_turns_itself_off_where_the_classifier_is_poor():
    config = UniformPoses(watch=True, num_poses=2, features=Brightness(), min_accuracy=0.8)
    with pytest.warns(RuntimeWarning, match="model.poses is off: 2 poses .* min_accuracy is 80%"):
        assert config.begin(assets(is_round=True), 1, 0) is None


def test_without_features_it_says_what_to_set():
    with pytest.raises(ValueError, match="set model.poses.features, or data.encoder to a CLIP"):
        UniformPoses(watch=True).begin(assets(), 1, 0)
