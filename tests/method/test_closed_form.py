"""Distillation against a prior whose score is known exactly, in float64."""

import pytest
import torch

from redream.losses import (
    asset_loss,
    delta_correction,
    guidance_loss,
    sds_gradient,
    vsd_gradient,
)
from redream.priors import GaussianPrior
from redream.schedules import Ramp, TimestepRange, score_weight
from redream.types import NoisyRows

MEAN, STD = 0.6, 0.15


@pytest.fixture
def prior():
    prior = GaussianPrior(image_size=2, mean=MEAN, std=STD, double=True)
    prior.mean += 0.1 * torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 2, 2)
    return prior


def predict(prior, noisy, timesteps):
    text = prior.encode_prompts([""] * len(noisy))
    return prior.predict_noise(NoisyRows(noisy, timesteps, text, ("__base__",) * len(noisy)))


def exact_eps(prior, noisy, timesteps, mean, variance):
    """The optimal denoiser of N(mean, variance), written from the schedule alone."""
    alpha_bar = prior.signal_and_noise(timesteps)[0].square()
    marginal = alpha_bar * variance + 1.0 - alpha_bar
    return (1.0 - alpha_bar).sqrt() * (noisy - alpha_bar.sqrt() * mean) / marginal


class Scene(torch.nn.Module):
    """A linear renderer g(theta) = A theta, whose Jacobian is known."""

    def __init__(self, num_views):
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.jacobian = torch.randn(num_views, 12, 5, generator=generator, dtype=torch.float64)
        self.theta = torch.nn.Parameter(torch.randn(5, generator=generator, dtype=torch.float64))

    def forward(self):
        return (self.jacobian @ self.theta).reshape(-1, 3, 2, 2)


def noised(prior, latents, seed=0):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(latents.shape, generator=generator, dtype=torch.float64)
    timesteps = TimestepRange().sample(len(latents), 0, prior.num_train_timesteps, generator)
    weight = score_weight("sigma_squared", *prior.signal_and_noise(timesteps))
    return prior.add_noise(latents, noise, timesteps), noise, timesteps, weight


def theta_gradient(scene, latents, gradient):
    (result,) = torch.autograd.grad(guidance_loss(latents, gradient), scene.theta)
    return result


def through_jacobian(scene, gradient):
    """E_psi[gradient . dg/dtheta] by hand."""
    return torch.einsum("bp,bpd->d", gradient.flatten(1), scene.jacobian) / len(gradient)


def test_sds_gradient_is_analytic(prior):
    scene = Scene(num_views=4)
    latents = scene()
    noisy, noise, timesteps, weight = noised(prior, latents.detach())
    gradient = sds_gradient(predict(prior, noisy, timesteps), noise, weight)
    alpha_bar = prior.signal_and_noise(timesteps)[0].square()
    sigma_squared = 1.0 - alpha_bar
    eps = exact_eps(prior, noisy, timesteps, prior.mean, STD**2)
    expected = through_jacobian(scene, sigma_squared * (eps - noise))
    torch.testing.assert_close(theta_gradient(scene, latents, gradient), expected)


def test_vsd_gradient_is_analytic(prior):
    """With zeta at the optimum of Eq. 4 for particles distributed as N(m, v)."""
    scene = Scene(num_views=4)
    latents = scene()
    noisy, _, timesteps, weight = noised(prior, latents.detach())
    zeta = exact_eps(prior, noisy, timesteps, mean=0.2, variance=0.09)
    gradient = vsd_gradient(predict(prior, noisy, timesteps), zeta, weight)
    alpha_bar = prior.signal_and_noise(timesteps)[0].square()
    alpha, sigma = alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt()
    prior_score = -(noisy - alpha * prior.mean) / (alpha_bar * STD**2 + sigma**2)
    particle_score = -(noisy - alpha * 0.2) / (alpha_bar * 0.09 + sigma**2)
    expected = through_jacobian(scene, sigma**3 * (particle_score - prior_score))
    torch.testing.assert_close(theta_gradient(scene, latents, gradient), expected)


def test_asset_gradient_is_analytic():
    scene = Scene(num_views=4)
    reference = torch.rand(4, 3, 2, 2, dtype=torch.float64)
    rendered = scene()
    (gradient,) = torch.autograd.grad(asset_loss(rendered, reference, 0.5), scene.theta)
    expected = through_jacobian(scene, 2.0 * (rendered.detach() - reference) / 0.5**2 / 12)
    torch.testing.assert_close(gradient, expected)


def test_vsd_is_sds_when_zeta_answers_with_the_noise(prior):
    """The score of a single particle's own renderings is the noise itself."""
    latents = torch.rand(4, 3, 2, 2, dtype=torch.float64)
    noisy, noise, timesteps, weight = noised(prior, latents)
    eps = predict(prior, noisy, timesteps)
    point = exact_eps(prior, noisy, timesteps, mean=latents, variance=0.0)
    torch.testing.assert_close(point, noise)
    torch.testing.assert_close(vsd_gradient(eps, point, weight), sds_gradient(eps, noise, weight))


def test_correction_leaves_the_difference_to_the_asset(prior):
    """Same t and noise: what remains of SDS is linear in particle minus asset, without noise."""
    particle, asset = torch.rand(2, 4, 3, 2, 2, dtype=torch.float64)
    noisy, noise, timesteps, weight = noised(prior, particle)
    noisy_asset = prior.add_noise(asset, noise, timesteps)
    corrected = delta_correction(
        sds_gradient(predict(prior, noisy, timesteps), noise, weight),
        sds_gradient(predict(prior, noisy_asset, timesteps), noise, weight),
    )
    alpha_bar = prior.signal_and_noise(timesteps)[0].square()
    sigma = (1.0 - alpha_bar).sqrt()
    slope = sigma**3 * alpha_bar.sqrt() / (alpha_bar * STD**2 + sigma**2)
    torch.testing.assert_close(corrected, slope * (particle - asset))


def descend(prior, particles, gradient_of, steps=1500):
    """Adam on the particles themselves, the step size decaying to zero."""
    particles = particles.clone().requires_grad_()
    optimizer = torch.optim.Adam([particles], lr=0.02)
    rate = Ramp(0.02, 0.0, begin_step=steps // 2, end_step=steps)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate.at(step)
        noisy, noise, timesteps, weight = noised(prior, particles.detach(), seed=step)
        eps = predict(prior, noisy, timesteps)
        gradient = gradient_of(eps, noisy, noise, timesteps, weight, particles.detach())
        optimizer.zero_grad()
        guidance_loss(particles, gradient).backward()
        optimizer.step()
    return particles.detach()


def start(num):
    generator = torch.Generator().manual_seed(1)
    spread = torch.randn(num, 3, 2, 2, generator=generator, dtype=torch.float64)
    return -0.5 + 0.4 * spread


def test_sds_descends_to_the_mean_and_collapses_there(prior):
    def gradient(eps, noisy, noise, timesteps, weight, particles):
        return sds_gradient(eps, noise, weight)

    end = descend(prior, start(64), gradient)
    assert (end.mean(0) - prior.mean).abs().max() < 0.02
    assert end.std(0).max() < 0.5 * STD


def test_vsd_descends_to_the_whole_distribution(prior):
    def gradient(eps, noisy, noise, timesteps, weight, particles):
        variance = particles.var(0, correction=0)
        zeta = exact_eps(prior, noisy, timesteps, particles.mean(0), variance)
        return vsd_gradient(eps, zeta, weight)

    end = descend(prior, start(64), gradient)
    assert (end.mean(0) - prior.mean).abs().max() < 0.02
    assert (end.std(0) - STD).abs().max() < 0.2 * STD


def test_warm_up_decides_where_a_particle_starts():
    """Eq. 3 alone is gradient descent on a quadratic: the distance shrinks geometrically."""
    reference = torch.rand(1, 3, 2, 2, dtype=torch.float64)
    particle = torch.zeros(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    sigma, rate = 0.5, 0.3
    optimizer = torch.optim.SGD([particle], lr=rate)
    for _ in range(5):
        optimizer.zero_grad()
        asset_loss(particle, reference, sigma).backward()
        optimizer.step()
    shrink = (1.0 - 2.0 * rate / sigma**2 / 12) ** 5
    torch.testing.assert_close(particle.detach() - reference, -shrink * reference)
