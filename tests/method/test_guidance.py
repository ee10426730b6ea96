"""Ways to distil, in float64 beside their papers' equations, on a prior whose score is known."""

import itertools
from types import SimpleNamespace

import pytest
import torch

from redream.cameras import turntable
from redream.method.guidance import ASD, CSD, ISM, SDI, SDS, Reuse, SDSBridge, ddim
from redream.method.terms import Drawn
from redream.priors import GaussianPrior
from redream.priors.prompting import Conditioning
from redream.schedules import Ramp, TimestepRange
from redream.training.processes import Processes

STD = 0.3
SHIFTS = {"prompt": 0.5, "negative": -0.2, "source": 0.1, "": 0.05}  # of the mean, by text
TIMES = torch.tensor([650, 300, 20])


class TextualPrior(GaussianPrior):
    """p(x_0 | text) = N(mu + text, s^2 I): the embedding of a text is how far it moves the mean."""

    def __init__(self):
        super().__init__(image_size=4, mean=0.3, std=STD, double=True)
        self.num_rows = self.num_passes = 0

    def encode_prompts(self, prompts, prefixes=None):
        return torch.tensor([[[SHIFTS.get(each, 0.7)]] for each in prompts]).double()

    def predict_noise(self, rows):
        self.num_rows, self.num_passes = self.num_rows + len(rows.latents), self.num_passes + 1
        return self.eps(rows.latents, rows.timesteps, rows.text[:, :, :, None])

    def eps(self, noisy, timesteps, shift):
        alpha, sigma = self.signal_and_noise(timesteps)
        variance = alpha.square() * STD**2 + sigma.square()
        return sigma * (noisy - alpha * (self.mean + shift)) / variance


def conditioning(name, num):
    return Conditioning(torch.full((num, 1, 1), SHIFTS[name]).double())


@pytest.fixture
def world():
    """A prior, what one particle drew, and ``begin``, which lets a way meet them."""
    generator = torch.Generator().manual_seed(3)
    prior, num = TextualPrior(), len(TIMES)
    latents, noise = torch.randn(2, num, 3, 4, 4, generator=generator).double()
    drawn = Drawn(0, turntable(num), *[None] * 3, latents, TIMES, noise, generator)
    table = [conditioning("prompt", 2 * num), conditioning("source", 2 * num)]

    def condition(cameras, step):
        return [Conditioning(each.text[: cameras.num]) for each in table]

    prompts = SimpleNamespace(
        negative=prior.encode_prompts(["negative"]), condition=condition, prompt="prompt"
    )

    def begin(way):
        way.begin(prior, None, prompts)
        return way

    return SimpleNamespace(prior=prior, drawn=drawn, begin=begin, x=latents, eps=noise)


def asked(way, world, step=0, correction=0.0, asset=None):
    world.prior.num_rows = 0
    return way.gradients([world.drawn], step, lambda drawn: asset, correction)[0]


def noisy(world, timesteps):
    return world.prior.add_noise(world.x, world.eps, timesteps)


def guided(world, x_t, timesteps, scale):
    eps = {name: world.prior.eps(x_t, timesteps, SHIFTS[name]) for name in SHIFTS}
    return eps["negative"] + scale * (eps["prompt"] - eps["negative"])


def sigma_squared(world, timesteps):
    return 1.0 - world.prior.alphas[timesteps].view(-1, 1, 1, 1).square()


def test_sds(world):
    expected = guided(world, noisy(world, TIMES), TIMES, 10.0) - world.eps
    found = asked(world.begin(SDS(scale=10.0)), world)
    torch.testing.assert_close(found, sigma_squared(world, TIMES) * expected)
    assert world.prior.num_rows == 2 * len(TIMES)


def test_asd_scores_the_same_noise_at_a_later_time(world):
    """Eq. 9 of Ma et al.: w(t) (eps_phi(x_t; y, t) - eps(x_{t + dt}; y, t + dt))."""
    way = world.begin(ASD(scale=7.5, shift=0.1, timesteps=TimestepRange(Ramp(0.02, 0.02))))
    state = world.drawn.generator.get_state()
    u = torch.rand(3, generator=world.drawn.generator)
    world.drawn.generator.set_state(state)
    later = TIMES + (0.1 * (TIMES - 20) * u).long()
    assert (later > TIMES).tolist() == [True, True, False]
    eps_later = world.prior.eps(noisy(world, later), later, SHIFTS["prompt"])
    expected = guided(world, noisy(world, TIMES), TIMES, 7.5) - eps_later
    torch.testing.assert_close(asked(way, world), sigma_squared(world, TIMES) * expected)
    assert world.prior.num_rows == 3 * len(TIMES)


def test_asd_without_a_shift_is_guidance_alone(world):
    """At t' = t the second term is the conditional score: (s - 1) (eps_c - eps_u) is left."""
    x_t = noisy(world, TIMES)
    classifier = world.prior.eps(x_t, TIMES, 0.5) - world.prior.eps(x_t, TIMES, -0.2)
    found = asked(world.begin(ASD(scale=7.5, shift=0.0)), world)
    torch.testing.assert_close(found, sigma_squared(world, TIMES) * 6.5 * classifier)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_csd_is_the_classifiers_score(world, share):
    """Yu et al., annealed negatives. On a Gaussian eps_c - eps_n = -s a (mu_c - mu_n) / v."""
    alpha, sigma = world.prior.signal_and_noise(TIMES)
    variance = (alpha * STD).square() + sigma.square()
    difference = SHIFTS["prompt"] - share * SHIFTS["negative"] - (1 - share) * SHIFTS[""]
    expected = -sigma * alpha * difference / variance * torch.ones_like(world.x)
    way = CSD(scale=40.0, negative_prompt="negative", negative_share=share)
    found = asked(world.begin(way), world)
    torch.testing.assert_close(found, sigma_squared(world, TIMES) * 40.0 * expected)
    assert world.prior.num_rows == len(TIMES) * (3 if 0 < share < 1 else 2)


def test_sds_bridge_goes_from_the_source_words_to_the_prompt(world):
    way = world.begin(SDSBridge(scale=100.0, begin_step=5, bridge_weight=2.0))
    x_t = noisy(world, TIMES)
    first, second = asked(way, world, step=4), asked(way, world, step=5)
    assert world.prior.num_rows == 2 * len(TIMES)
    expected = guided(world, x_t, TIMES, 100.0) - world.eps
    torch.testing.assert_close(first, sigma_squared(world, TIMES) * expected)
    bridge = world.prior.eps(x_t, TIMES, 0.5) - world.prior.eps(x_t, TIMES, 0.1)
    torch.testing.assert_close(second, 2.0 * bridge)
    assert way.other_texts("a dog")[0].startswith("a dog, oversaturated, smooth")


def step_of(prior, x, eps, now, after):
    """DDIM as Song et al., 2020a, Eq. 12 with sigma = 0, print it."""
    a, b = prior.alphas[now], prior.alphas[after]
    return b * (x - (1 - a**2).sqrt() * eps) / a + (1 - b**2).sqrt() * eps


def test_ism_matches_scores_over_an_interval(world):
    """Algorithm 1 and Eq. 17 of Liang et al., written out for one view after the other."""
    found = asked(world.begin(ISM(scale=7.5, interval=50, stride=200)), world)
    prior = world.prior
    for index, t in enumerate(TIMES.tolist()):
        s = max(t - 50, 0)
        x = prior.add_noise(world.x, world.eps, torch.zeros(3, dtype=torch.long))[[index]]
        for now, after in itertools.pairwise([*range(0, s, 200), s]):
            eps = prior.eps(x, torch.tensor([now]), SHIFTS["negative"])
            x = step_of(prior, x, eps, now, after)
        eps_s = prior.eps(x, torch.tensor([s]), SHIFTS["negative"])
        x_t = step_of(prior, x, eps_s, s, t)
        eps_t = guided(world, x_t, torch.tensor([t]), 7.5)
        weight = ((1 - prior.alphas[t] ** 2) / prior.alphas[t] ** 2).sqrt()
        torch.testing.assert_close(found[[index]], weight * (eps_t - eps_s))
    assert prior.num_rows == 3 * 3 + (3 + 2 + 0)  # the inversions to s = 600, 250 and 0


def exact_path(prior, x, start, end, shift):
    """Where the ODE of a Gaussian leads: deviations grow as the standard deviation of x_t."""

    def deviation(t):
        return ((prior.alphas[t] * STD) ** 2 + prior.sigmas[t] ** 2).sqrt()

    mean = prior.mean + shift
    grown = deviation(end) / deviation(start)
    return prior.alphas[end] * mean + grown * (x - prior.alphas[start] * mean)


def test_ddim_follows_the_closed_form_up_and_down():
    prior, x = TextualPrior(), torch.randn(2, 3, 4, 4).double()
    ends = torch.tensor([700, 400])

    def predict(noisy, timesteps, rows):
        return prior.eps(noisy, timesteps, torch.zeros(()))

    up = ddim.follow(prior, x, ddim.upward(ends, 1), predict)
    down = ddim.follow(prior, up, ends[:, None] - torch.arange(401).clamp_max(400), predict)
    for index, end in enumerate(ends.tolist()):
        expected = exact_path(prior, x[index], 0, end, 0.0)
        torch.testing.assert_close(up[index], expected, atol=0.02, rtol=0.01)
        back = exact_path(prior, expected, end, end - 400, 0.0)
        torch.testing.assert_close(down[index], back, atol=0.04, rtol=0.02)
    assert ddim.upward(torch.tensor([5, 0]), 2).tolist() == [[0, 2, 4, 5], [0, 0, 0, 0]]
    assert ddim.downward(900, torch.tensor([0, 500]), 3).tolist() == [
        [900, 600, 300, 0], [900, 600, 500, 500],
    ]  # fmt: skip


def test_sdi_takes_the_noise_that_the_view_came_from(world):
    """Lukoianov et al.: x_0 minus the prior's x_0 at alpha x_0 + sigma kappa."""
    way = SDI(scale=7.5, num_steps=1000, inversion_scale=1.0, inversion_chance=0.0)
    found, prior = asked(world.begin(way), world), world.prior
    for index, t in enumerate(TIMES.tolist()):
        x = world.x[[index]]
        inverted = exact_path(prior, x, 0, t, SHIFTS["prompt"])
        kappa = (inverted - prior.alphas[t] * x) / prior.sigmas[t]
        x_t = prior.add_noise(x, kappa, torch.tensor([t]))
        eps = guided(world, x_t, torch.tensor([t]), 7.5)
        clean = (x_t - prior.sigmas[t] * eps) / prior.alphas[t]
        torch.testing.assert_close(found[[index]], x - clean, atol=0.02, rtol=0.02)


def test_sdi_inverts_under_negative_guidance_with_chance(world):
    """``invert_noise`` of the released code, written out for one view after the other."""
    way = world.begin(SDI(scale=7.5, num_steps=10, inversion_scale=-7.5, inversion_chance=0.3))
    state = world.drawn.generator.get_state()
    random = way.draw(world.drawn)
    world.drawn.generator.set_state(state)
    found, prior = asked(way, world), world.prior
    for index, t in enumerate(TIMES.tolist()):
        last = t + int(float(random[index, 0, 0, 0, 0]) * 100)
        x = world.x[[index]]
        for number, (now, after) in enumerate(itertools.pairwise([*range(0, last, 100), last])):
            eps = guided(world, x, torch.tensor([now]), -7.5)
            a, b = prior.alphas[after] ** 2, prior.alphas[now] ** 2
            variance = (1 - b) / (1 - a) * (1 - a / b)
            x = step_of(prior, x, eps, now, after)
            x = x + 0.3 * variance.sqrt() * random[[index], 1 + number].double()
        kappa = (x - prior.alphas[last] * world.x[[index]]) / prior.sigmas[last]
        x_t = prior.add_noise(world.x[[index]], kappa, torch.tensor([t]))
        eps = guided(world, x_t, torch.tensor([t]), 7.5)
        clean = (x_t - prior.sigmas[t] * eps) / prior.alphas[t]
        torch.testing.assert_close(found[[index]], world.x[[index]] - clean)


WAYS = {
    "SDS": SDS, "ASD": ASD, "CSD": CSD, "SDSBridge": lambda: SDSBridge(begin_step=0),
    "ISM": ISM, "SDI": SDI, "Reuse": lambda: Reuse(SDS()), "path": lambda: SDS(path_steps=4),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_the_correction_takes_away_what_is_asked_of_the_asset_itself(world, name):
    way = world.begin(WAYS[name]())
    found = asked(way, world, 0, correction=1.0, asset=world.x)
    torch.testing.assert_close(found, torch.zeros_like(found), atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", sorted(WAYS.keys() - {"Reuse", "path"}))
def test_a_gradient_is_clipped_whatever_the_way(world, name):
    way = world.begin(WAYS[name]())
    way.clip = Ramp(0.01, 0.01)
    assert asked(way, world).abs().max() <= 0.01


def test_a_score_serves_several_fits(world):
    way = world.begin(Reuse(SDS(scale=10.0), num_fits=3))
    first = asked(way, world, step=0)
    torch.testing.assert_close(first, asked(world.begin(SDS(scale=10.0)), world))
    moved = world.drawn._replace(latents=world.x - 0.25 * first)
    found = way.gradients([moved], 1, None)[0]
    torch.testing.assert_close(found, 0.75 * first)  # on the way to the target
    assert [asked(way, world, step) is not None and world.prior.num_rows for step in (1, 2, 3)] == [
        0, 0, 6,
    ]  # fmt: skip


class Overflowing(SDS):
    """A way whose first view's gradient is not finite, as float16's may be."""

    def gradient(self, at):
        found = super().gradient(at)
        found[0] = float("nan")
        return found


def test_a_score_that_is_not_finite_costs_its_step_and_is_no_target(world):
    way = world.begin(Reuse(Overflowing(scale=10.0), num_fits=3))
    first = asked(way, world, step=0)
    assert first[0].isnan().all() and first[1:].isfinite().all()  # the step is skipped for it
    (target,) = way.state().values()
    assert target.isfinite().all()
    again = world.begin(Reuse(SDS(scale=10.0), num_fits=3))
    again.load_state(way.state())  # what was saved in between goes on
    for each in (way, again):
        found = asked(each, world, step=1)
        assert torch.equal(found[0], torch.zeros_like(found[0]))
        torch.testing.assert_close(found[1:], first[1:])


@pytest.mark.parametrize("rank", [0, 1])
def test_a_checkpoint_has_the_targets_of_every_process(rank):
    """Each process has fitted its own particles, and may have loaded others long ago."""
    fitted = [{"0": torch.ones(1), "1": torch.zeros(1)}, {"1": torch.ones(1)}]

    class Told(Processes):
        def tell_first(self, value):
            if self.rank == 0:
                return [value, {"1": fitted[1]["1"]}]
            assert value == {"1": fitted[1]["1"]}
            return []

    kept = Told(rank, 2).gather_own(fitted[rank])
    assert {key: float(each) for key, each in kept.items()} == ({"0": 1.0, "1": 1.0}, {})[rank]


def test_targets_survive_a_checkpoint(world):
    way = world.begin(Reuse(SDS(), num_fits=2))
    asked(way, world, step=0)
    again = world.begin(Reuse(SDS(), num_fits=2))
    again.load_state(way.state())
    torch.testing.assert_close(asked(again, world, 1), asked(way, world, 1))
    assert world.prior.num_rows == 0


def test_a_particle_keeps_to_a_path_of_its_own(world):
    """Along the ODE the noise that a Gaussian predicts is its start's, scaled and moved."""
    way = world.begin(SDS(scale=1.0, path_steps=999))
    shape = torch.Size([2, 3, 4, 4])
    one, other = (way.noise(shape, None, 0, particle) for particle in (0, 1))
    assert torch.equal(one, way.noise(shape, None, 0, 0)) and torch.equal(one[0], one[1])
    assert not torch.equal(one, other)
    start = one[:1].double().expand(3, -1, -1, -1)
    scored = way.scored([world.drawn._replace(noise=start)], [world.x], 0)
    for index, t in enumerate(TIMES.tolist()):
        x_t = exact_path(world.prior, start[index], 999, t, SHIFTS["prompt"])
        expected = world.prior.eps(x_t[None], torch.tensor([t]), SHIFTS["prompt"])[0]
        torch.testing.assert_close(scored.noise[index], expected, atol=0.02, rtol=0.02)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ASD(shift=-1.0), "shift is -1.0"),
        (lambda: ISM(stride=0), "stride is 0"),
        (lambda: SDI(num_steps=0), "num_steps is 0"),
        (lambda: Reuse(SDS(), 0), "num_fits is 0"),
        (lambda: SDS(path_steps=-1), "path_steps is -1"),
        (lambda: SDI(path_steps=10), "^SDI has noises of its own and follows no paths: set path"),
        (lambda: ISM(path_steps=10), "^ISM has noises of its own"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    "way", [SDS(), ASD(), CSD(negative_share=0.5), ISM(), SDI(), SDSBridge(), Reuse(SDS())],
    ids=lambda way: type(way).__name__,
)  # fmt: skip
def test_what_is_heard_is_what_the_prior_said_last_of_the_views(world, way):
    """The particle's rows come first, also where its asset is asked for its correction."""
    asked(world.begin(way), world, correction=1.0, asset=torch.ones_like(world.x))
    noisy, timesteps, eps = (each[: len(TIMES)] for each in way.heard)
    alpha, sigma = world.prior.signal_and_noise(timesteps)
    assert timesteps.tolist() == TIMES.tolist()
    clean = (noisy - sigma * eps) / alpha
    expected = world.prior.eps(noisy, timesteps, SHIFTS["prompt"])
    if isinstance(way, CSD):  # it asks for the prompt's own score
        torch.testing.assert_close(eps, expected)
    else:
        scale = way.way.scale if isinstance(way, Reuse) else way.scale
        torch.testing.assert_close(eps, guided(world, noisy, timesteps, scale))
    assert clean.isfinite().all() and len(way.heard.eps) == 2 * len(TIMES)
