import torch

from redream.priors import GaussianPrior
from redream.types import NoisyRows


def rows(prior, latents, timesteps):
    text = prior.encode_prompts(["a dog"] * len(latents))
    return NoisyRows(latents, timesteps, text, ("__base__",) * len(latents))


def test_noise_is_the_score_of_the_diffused_gaussian():
    prior = GaussianPrior(image_size=4, mean=0.3, std=0.2, double=True)
    x_t = torch.randn(3, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    timesteps = torch.tensor([5, 400, 980])
    alpha, sigma = prior.signal_and_noise(timesteps)
    std = (alpha.square() * 0.2**2 + sigma.square()).sqrt()
    log_density = torch.distributions.Normal(alpha * 0.3, std).log_prob(x_t).sum()
    (score,) = torch.autograd.grad(log_density, x_t)
    noise = prior.predict_noise(rows(prior, x_t.detach(), timesteps))
    torch.testing.assert_close(noise, -sigma * score)


def test_noise_is_the_posterior_mean_of_the_added_noise():
    """E[eps | x_t], by Monte Carlo over pictures and noise that lead to nearly the same x_t."""
    prior = GaussianPrior(image_size=1, mean=0.3, std=0.5, double=True)
    generator = torch.Generator().manual_seed(0)
    draw = torch.randn(2, 400_000, generator=generator, dtype=torch.float64)
    clean, noise = 0.3 + 0.5 * draw[0], draw[1]
    alpha, sigma = (value.item() for value in prior.signal_and_noise(torch.tensor([300])))
    noisy = alpha * clean + sigma * noise
    near = (noisy - 0.6).abs() < 0.02
    x_t = torch.full((1, 3, 1, 1), 0.6, dtype=torch.float64)
    predicted = prior.predict_noise(rows(prior, x_t, torch.tensor([300])))[0, 0, 0, 0]
    assert (noise[near].mean() - predicted).abs() < 0.03


def test_sampling_follows_the_probability_flow():
    """DDIM solves an ODE whose solution between two Gaussians is affine."""
    prior = GaussianPrior(image_size=4, mean=0.5, std=0.2, double=True)
    text = prior.encode_prompts(["", ""])
    samples = prior.sample(text, num_steps=1000, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    alpha, sigma = prior.signal_and_noise(torch.tensor([999]))
    exact = 0.5 + 0.2 * (noise - alpha * 0.5) / (alpha.square() * 0.2**2 + sigma.square()).sqrt()
    torch.testing.assert_close(samples, exact.clamp(0.0, 1.0), atol=1e-2, rtol=0.0)


def test_pictures_are_their_own_latents():
    prior = GaussianPrior(image_size=4)
    images = torch.rand(1, 3, 4, 4)
    assert torch.equal(prior.decode_latents(prior.encode_images(images)), images)
    assert prior.encode_images(torch.rand(1, 3, 16, 16)).shape[1:] == prior.latent_shape
