"""Two priors at once, whose scores are known; and what they are shown of the object."""

import pytest
import torch
from paintings import Painting, make, step_of
from two_discs import Discs

from redream.adapters import LightAdapter
from redream.cameras import turntable
from redream.method.cameras import CameraSampler
from redream.method.correction import Correction
from redream.method.guidance import ISM, SDS, VSD, AnotherPrior, Reuse, SumOfPriors
from redream.method.reconstruction import Reconstruction, correlation
from redream.priors import GaussianPrior, Zero123Prior
from redream.priors.miniature import save_miniature_zero123
from redream.schedules import Ramp, TimestepRange
from redream.types import ImagePrompt, key_generator


def at(share):
    return TimestepRange(Ramp(share, share), Ramp(share, share))


def sds(weight=1.0, share=0.5, scale=1.0, **options):
    return SDS(scale=scale, weight=Ramp(weight, weight), timesteps=at(share), **options)


def test_each_prior_pulls_as_hard_as_it_says_at_its_own_size_and_times():
    """Pictures of one colour are scored; each prior's gradient is that of its own run alone."""
    coarse, fine = GaussianPrior(8, mean=0.2), GaussianPrior(16, mean=0.9)
    both = make(coarse, SumOfPriors(sds(2.0, 0.3), [AnotherPrior(fine, sds(0.5, 0.7))]))
    found = step_of(both)
    assert set(found) == {"guidance", "guidance_2"}
    alone = step_of(make(coarse, sds(2.0, 0.3)))
    torch.testing.assert_close(found["guidance"], alone["guidance"])
    twice = make(coarse, SumOfPriors(sds(2.0, 0.3), [AnotherPrior(fine, sds(1.0, 0.7))]))
    torch.testing.assert_close(2.0 * found["guidance_2"], step_of(twice)["guidance_2"])
    # E[gradient] of SDS toward N(mu, s^2) at x: w s_t a_t (x - mu) / (a_t^2 s^2 + s_t^2)
    alpha, sigma = (float(each[700]) for each in (fine.alphas, fine.sigmas))
    both.particle(0).picture.data.fill_(0.5)
    both.particle(0).alpha.data.fill_(20.0)
    steps = torch.stack([step_of(both, step)["guidance_2"] for step in range(200)])
    expected = 0.5 * sigma**3 * alpha * (0.5 - 0.9) / (alpha**2 * 0.1**2 + sigma**2)
    assert float(steps.mean()) == pytest.approx(expected, rel=0.02)
    assert float(steps.std()) > 0.0


def test_the_others_are_corrected_by_the_asset_as_well():
    """App. B: a particle that shows its asset is not moved by a prior that knows neither."""
    data = Discs()
    prior, other = GaussianPrior(16, mean=0.2), GaussianPrior(16, mean=0.9)
    module = make(
        prior,
        SumOfPriors(sds(), [AnotherPrior(other, sds())]),
        data,
        correction=Correction(period=1, weight=Ramp(1.0, 1.0)),
    )
    views = data.render_asset(0, turntable(1), 16, 16)
    particle = module.particle(0)
    particle.alpha.data.copy_(torch.logit(views.opacity, eps=1e-6))
    particle.picture.data.copy_(views.rgb / views.opacity.clamp_min(1e-3))
    for gradient in step_of(module).values():
        assert gradient.abs().max() < 1e-3


def test_both_are_distilled_in_a_step_and_nothing_of_them_is_kept():
    prior, other = GaussianPrior(8), GaussianPrior(16)
    module = make(prior, SumOfPriors(sds(), [AnotherPrior(other, sds())]))
    module.log = module.log_dict = lambda *args, **options: None
    loss = module.training_step(0, 0)
    assert set(module.losses) >= {"guidance", "guidance_2"} and loss.isfinite()
    assert any(other is each for each in module.modules())  # it moves with the module


@pytest.mark.parametrize(
    ("guidance", "line"),
    [
        (lambda other: SumOfPriors(sds(), []), "no other prior"),
        (lambda other: SumOfPriors(sds(), [AnotherPrior(other, VSD())]), r"others\[0\].way is VSD"),
        (lambda other: SumOfPriors(sds(), [AnotherPrior(other, Reuse(sds()))]), "is Reuse with"),
        (lambda other: SumOfPriors(Reuse(sds()), [AnotherPrior(other, sds())]), "of phi"),
        (lambda other: Reuse(SumOfPriors(sds(), [AnotherPrior(other, sds())])), "without Reuse"),
        (
            lambda other: SumOfPriors(sds(), [AnotherPrior(other, ISM(path_steps=2))]),
            "path_steps",
        ),
    ],
)
def test_what_cannot_be_summed_is_refused(guidance, line):
    with pytest.raises(ValueError, match=line):
        guidance(GaussianPrior(8))


def picture(depth=None):
    """A disc of its own colours, from in front."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    alpha = ((x**2 + y**2) < 0.5).float()[None, None]
    color = torch.stack([x, y, 0 * x]).mul(0.5).add(0.5)[None]
    camera = turntable(1, 5.0, 3.8, 20.0)
    return ImagePrompt(torch.cat([color * alpha, alpha], 1), camera, depth)


@pytest.fixture(scope="module")
def zero123(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zero123")
    save_miniature_zero123(folder)
    return str(folder)


class Pictured(Discs):
    """Assets, and a picture of the object; or a prior of the run paints one."""

    def __init__(self, image=None):
        super().__init__()
        self.image, self.painters = image, []

    def paint_image(self, prior):
        self.painters.append(prior)
        self.image = picture()
        return self.image


def test_magic123_is_a_sum_of_zero123_and_a_text_prior(zero123):
    """Zero123 sees the picture and the pose; the text prior paints it where there is none."""
    text, data = GaussianPrior(16), Pictured()
    seer = Zero123Prior(zero123)
    guidance = SumOfPriors(sds(40.0, scale=5.0), [AnotherPrior(text, sds(scale=100.0))])
    module = make(seer, guidance, data)
    assert data.painters == [text]
    found = step_of(module)
    assert all(each.abs().max() > 0 for each in found.values())
    drawn = [module._draw(0, 0)]
    first = module._gradients(drawn, 0)[0]
    turned = drawn[0]._replace(cameras=turntable(2, 40.0, 3.8, 20.0))
    assert (module._gradients([turned], 0)[0] - first).abs().max() > 1e-3
    other = Pictured(picture()._replace(rgba=picture().rgba.flip(1, 3)))
    again = make(seer_again := Zero123Prior(zero123), guidance_of(text), other)
    assert seer_again is again.prior and other.painters == []
    assert (again._gradients([again._draw(0, 0)], 0)[0] - first).abs().max() > 1e-3


def first_of(step):
    """The random numbers with which the adaptation picks the views of a step."""
    return key_generator("adaptation", 0, step)


def guidance_of(text):
    return SumOfPriors(sds(40.0, scale=5.0), [AnotherPrior(text, sds(scale=100.0))])


def test_omega_learns_from_each_assets_own_front(zero123):
    """Eq. 5 on a prior that is shown the object: every asset's view is told of that asset."""
    module = make(
        Zero123Prior(zero123),
        sds(scale=3.0),
        Pictured(picture()),
        adapter=LightAdapter(rank=2, learn_prefixes=False, view_contrast=1.0, anchor=1.0),
    )
    adaptation = module._adaptation
    batch = adaptation.batch(0)
    told = batch.rows.text.flatten(1)
    assert batch.rows.poses is not None and (told[:, 16] == 1.0).all()  # it is seen
    fronts = module.prior.image_tokens(adaptation._fronts()).flatten(1)  # of a red, a green asset
    apart = torch.cdist(told[:, 16:], fronts)
    assert (apart.min(dim=1).values < 1e-3).all() and float((fronts[0] - fronts[1]).norm()) > 0.1
    own = adaptation.references.asset_index[adaptation._sets[adaptation._pick(first_of(0))]]
    assert torch.equal(apart[: len(batch.noise)].argmin(dim=1), own[:, 0])
    assert torch.equal(apart[len(batch.noise) :].argmin(dim=1), own[:, 0].repeat(2))
    loss = adaptation.loss(module.prior.predict_noise(batch.rows), batch)
    loss.backward()
    assert any(p.grad is not None and p.grad.any() for p in module.adapter.lora.parameters())


def test_what_the_picture_is_needed_for_is_said_before_the_first_step(zero123):
    seer = Zero123Prior(zero123)
    with pytest.raises(ValueError, match="Zero123Prior must be shown the object"):
        make(seer, sds(), Pictured())
    with pytest.raises(ValueError, match="nobody looks at --data.image"):
        make(GaussianPrior(16), sds(), Pictured(picture()))
    with pytest.raises(ValueError, match=r"set --model.cameras.fovy_deg \[20,20\]"):
        make(seer, sds(), Pictured(picture()), cameras=CameraSampler(2, 16))
    with pytest.raises(ValueError, match="learn_prefixes false"):
        make(seer, sds(), Pictured(picture()), adapter=LightAdapter(rank=2))
    with pytest.raises(ValueError, match="depth_order needs depths"):
        module = make(
            GaussianPrior(16),
            sds(),
            Pictured(picture()),
            reconstruction=Reconstruction(depth_order=Ramp(1.0, 1.0)),
        )
        module._reconstruction_losses([module._draw(0, 0)], 0)


def test_a_particle_becomes_the_picture():
    """Colour and mask alone, at the picture's own camera and size."""
    torch.manual_seed(0)
    particle, image = Painting(0), picture()
    reconstruction = Reconstruction(color=Ramp(500.0, 500.0), mask=Ramp(50.0, 50.0))
    optimizer = torch.optim.Adam(particle.parameters(), lr=0.1)
    for step in range(150):
        losses = reconstruction.losses([particle], image, step, 16)
        assert set(losses) == {"picture_color", "picture_mask"}
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    views = particle.render(image.cameras, 16, 16)
    assert sum(losses.values()) < 0.5
    assert (views.opacity[0, 0, 8, 8] > 0.9) and (views.opacity[0, 0, 0, 0] < 0.1)


def test_values_are_threestudios():
    """Colour over the particle's background and mask by mean squares; nothing at weight 0."""
    particle, image = Painting(0), picture()
    ramp = Ramp(0.0, 2.0, 10, 10)
    reconstruction = Reconstruction(color=ramp, mask=Ramp(3.0, 3.0))
    assert set(reconstruction.losses([particle], image, 0, 16)) == {"picture_mask"}
    losses = reconstruction.losses([particle, particle], image, 10, 16)
    views = particle.render(image.cameras, 16, 16)
    small = torch.nn.functional.interpolate(
        image.rgba, (16, 16), mode="bilinear", antialias=True, align_corners=False
    )
    behind = particle.background(image.cameras, 16, 16)
    target = small[:, :3] + (1 - small[:, 3:]) * behind
    color = 2 * 2.0 * (views.over(behind) - target).square().mean()
    mask = 2 * 3.0 * (views.opacity - small[:, 3:]).square().mean()
    torch.testing.assert_close(losses["picture_color"], color)
    torch.testing.assert_close(losses["picture_mask"], mask)
    assert Reconstruction().losses([particle], image, 0, 16) == {}


def test_the_order_of_depths_knows_no_unit():
    depth = torch.rand(50)
    assert float(correlation(depth, 7.0 * depth + 3.0)) == pytest.approx(1.0, abs=1e-5)
    assert float(correlation(depth, -depth)) == pytest.approx(-1.0, abs=1e-5)
    assert float(correlation(depth, torch.ones(50))) == 0.0

    class Slope(Painting):
        def __init__(self):
            super().__init__(0)
            self.slope = torch.nn.Parameter(torch.tensor(-0.1))

        def render(self, cameras, height, width):
            views = super().render(cameras, height, width)
            across = torch.linspace(0.0, 1.0, 16).expand(1, 1, 16, 16)
            return views._replace(depth=3.0 + self.slope * across + 0.1 * across.mT)

    far = torch.linspace(0.0, 900.0, 32).expand(1, 1, 32, 32)
    slope, image = Slope(), picture(far)
    reconstruction = Reconstruction(depth_order=Ramp(1.0, 1.0))
    optimizer = torch.optim.Adam([slope.slope], lr=0.1)
    for step in range(40):
        (loss,) = reconstruction.losses([slope], image, step, 16).values()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert slope.slope > 0 and loss < 0.1
