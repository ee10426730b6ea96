"""JointDreamer's way, beside its equation: phi's looks, and a judge that sees all views at once."""

import pytest
import torch
from paintings import make, step_of
from torch.nn.functional import interpolate
from two_discs import Discs

from redream.cameras import turntable
from redream.method.cameras import CameraSampler
from redream.method.correction import Correction
from redream.method.guidance import JSD, SDS, AnotherPrior, Reuse, SumOfPriors
from redream.priors import GaussianPrior
from redream.schedules import Ramp

V = 4


class Coherent(GaussianPrior):
    """Looks at sets: each view is the mean of them all, seen from where it was taken."""

    views_per_set, needs_poses = V, True

    def __init__(self, **options):
        super().__init__(8, std=0.2, **options)
        self.asked = []

    def predict_noise(self, rows):
        self.require_sets(rows)
        self.asked.append(rows)
        mean = rows.latents.unflatten(0, (-1, V)).mean(1, keepdim=True).expand(-1, V, -1, -1, -1)
        told = mean.flatten(0, 1) + rows.poses[:, :3, 3, None, None] + rows.text[:, :1, :1, None]
        return told + 0.5 * rows.latents


def way(judge, coherence=3.0, **options):
    return JSD(judge, coherence=coherence, judge_scale=1.0, judge_rescale=0.0, **options)


def made(guidance, data=None, **arguments):
    cameras = CameraSampler(V, render_size=16, elevation_deg=(0.0, 30.0))
    return make(GaussianPrior(16, mean=0.2), guidance, data, cameras=cameras, **arguments)


def encoded(module, step=0):
    return lambda prior, each, image: module._encode(each.particle, step, image, prior)


def test_the_energy_is_the_papers_by_automatic_differentiation():
    """eps - sigma_t dC/dx_t, C = -||x_0(eps_uncond) - x_judge||^2 / (2 V), over the object."""
    judge = Coherent()
    module = made(way(judge, scale=7.0))
    drawn = module._draw(0, 0)
    guidance, phi = module.guidance, module.prior
    module._gradients([drawn], 0)
    said = guidance._said
    losses = guidance.other_losses([drawn], 0, encoded(module), None, 0.0)
    (found,) = torch.autograd.grad(losses["coherence"], drawn.latents)

    (rows,) = judge.asked
    assert torch.equal(rows.timesteps, drawn.timesteps) and torch.equal(
        rows.poses, drawn.cameras.c2w
    )
    alpha, sigma = judge.signal_and_noise(rows.timesteps)
    clean = (rows.latents - sigma * judge.predict_noise(rows)) / alpha
    clean = interpolate(clean, (16, 16), mode="bilinear", align_corners=False)
    alpha, sigma = phi.signal_and_noise(drawn.timesteps)
    noisy = phi.add_noise(drawn.latents, drawn.noise, drawn.timesteps).detach().requires_grad_()
    rows = module.guidance.rows(_scored(module, drawn), noisy.detach())
    eps = phi.predict_noise(rows._replace(text=guidance.prompts.negative.expand(V, -1, -1)))
    torch.testing.assert_close(said.eps, eps)
    own = (noisy * drawn.views.opacity.detach() - sigma * eps) / alpha
    energy = (own - clean).square().sum() / (2 * V)
    (slope,) = torch.autograd.grad(energy, noisy)
    weight = sigma.square() / (alpha.square() + sigma.square())
    torch.testing.assert_close(found * V, weight * 3.0 * sigma * slope, atol=1e-6, rtol=1e-4)
    assert found.abs().max() > 1e-3


def _scored(module, drawn):
    return module.guidance.scored([drawn], [drawn.latents.detach()], 0)


def test_what_phi_says_is_sds():
    """The judge adds a term of its own, and changes nothing else; at 0 nobody asks it."""
    judge = Coherent()
    found = step_of(made(way(judge, scale=7.0)))
    assert set(found) == {"guidance", "coherence"}
    beside = SumOfPriors(SDS(scale=7.0), [AnotherPrior(Coherent(), SDS())])  # sets, as here
    torch.testing.assert_close(found["guidance"], step_of(made(beside))["guidance"])
    judge.asked.clear()
    later = made(way(judge, Ramp(0.0, 5.0, 3, 3), scale=7.0))
    assert set(step_of(later)) == {"guidance"} and judge.asked == []
    assert set(step_of(later, 3)) == {"guidance", "coherence"} and judge.asked


def test_the_asset_corrects_both_parts():
    """App. B: a particle that shows its asset is moved by neither."""
    data = Discs()
    module = made(
        way(Coherent(), scale=1.0), data, correction=Correction(period=1, weight=Ramp(1.0, 1.0))
    )
    views = data.render_asset(0, turntable(1), 16, 16)
    particle = module.particle(0)
    particle.alpha.data.copy_(torch.logit(views.opacity, eps=1e-6))
    particle.picture.data.copy_(views.rgb / views.opacity.clamp_min(1e-3))
    before = step_of(module)
    assert all(gradient.abs().max() < 1e-3 for gradient in before.values())
    particle.picture.data.add_(0.2)
    assert step_of(module)["coherence"].abs().max() > 1e-3


def test_priors_of_two_autoencoders_cannot_judge_each_other():
    class Deeper(Coherent):
        latent_shape = (4, 8, 8)

    with pytest.raises(
        ValueError, match="Deeper's are of another autoencoder than GaussianPrior's"
    ):
        made(way(Deeper()))
    scaled = Coherent()
    scaled.latent_scale = torch.full((3, 1, 1), 0.13)
    phi = GaussianPrior(16)
    phi.latent_scale = torch.full((3, 1, 1), 0.18)
    with pytest.raises(ValueError, match="of another autoencoder"):
        way(scaled).attach(phi)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Reuse(way(Coherent())),
        lambda: SumOfPriors(way(Coherent()), [AnotherPrior(GaussianPrior(8), SDS())]),
        lambda: SumOfPriors(SDS(), [AnotherPrior(GaussianPrior(8), way(Coherent()))]),
        lambda: way(Coherent(), path_steps=2),
    ],
)
def test_what_it_cannot_be_part_of_is_refused(wrong):
    with pytest.raises(ValueError, match="JSD|Reuse|SumOfPriors"):
        wrong()
