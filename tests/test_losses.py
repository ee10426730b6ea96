import math

import pytest
import torch
from torch.autograd import gradcheck

from redream import losses


def latents(seed, num=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num, 4, 2, 2, generator=generator, dtype=torch.float64)


def test_guidance_loss_carries_the_gradient():
    x = latents(0).requires_grad_()
    gradient = latents(1).requires_grad_()
    loss = losses.guidance_loss(x, gradient)
    loss.backward()
    torch.testing.assert_close(x.grad, gradient.detach() / 3)
    assert gradient.grad is None
    torch.testing.assert_close(loss, 0.5 * gradient.square().sum() / 3)


def test_guidance_loss_of_one_view_carries_it_whole():
    x = latents(0, num=1).requires_grad_()
    losses.guidance_loss(x, latents(1, num=1)).backward()
    torch.testing.assert_close(x.grad, latents(1, num=1))


def test_vsd_with_the_noise_for_zeta_is_sds():
    eps_prior, noise = latents(0), latents(1)
    weight = torch.rand(3, 1, 1, 1, dtype=torch.float64)
    assert torch.equal(
        losses.vsd_gradient(eps_prior, noise, weight),
        losses.sds_gradient(eps_prior, noise, weight),
    )


def test_score_differences_point_uphill():
    """Where the prior sees more noise than there is, the loss falls by moving against it."""
    weight = torch.full((3, 1, 1, 1), 0.5, dtype=torch.float64)
    gradient = losses.sds_gradient(latents(0) + 1.0, latents(0), weight)
    torch.testing.assert_close(gradient, torch.full_like(gradient, 0.5))


def test_asset_loss_is_analytic_in_value_and_gradient():
    rendered = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    reference = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    losses.asset_loss(rendered, reference, sigma=0.3).backward()
    expected = 2.0 * (rendered.detach() - reference) / 0.3**2 / rendered.numel()
    torch.testing.assert_close(rendered.grad, expected)
    assert gradcheck(lambda x: losses.asset_loss(x, reference, 0.3), rendered)


def test_asset_loss_keeps_its_scale_over_resolutions():
    small, large = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 64, 64)
    assert losses.asset_loss(small + 0.1, small, 1.0) == losses.asset_loss(
        large + 0.1, large, 1.0
    ).to(torch.float32)


@pytest.mark.parametrize("num_latents", [16, 2048, 16384])
@pytest.mark.parametrize("side", [4, 32])
def test_the_two_pulls_are_balanced_alike_whatever_the_latents_and_the_pictures(num_latents, side):
    """A particle that is one number, seen as a picture of it: sigma means the same everywhere."""
    theta = torch.zeros((), dtype=torch.float64, requires_grad=True)
    picture = theta.expand(1, 3, side, side)
    latents = theta.expand(1, 4, num_latents // 4, 1)
    loss = losses.asset_loss(picture, picture.detach() + 0.2, 0.45, num_latents)
    guidance = losses.guidance_loss(latents, torch.full_like(latents, 0.7))
    asset, prior = (torch.autograd.grad(each, theta)[0] for each in (loss, guidance))
    assert float(asset / prior) == pytest.approx(2.0 * -0.2 / 0.45**2 / 0.7)


def test_denoising_losses_against_finite_differences():
    noise = latents(1)
    for loss in (losses.variational_loss, losses.adapter_loss):
        eps = latents(0).requires_grad_()
        assert gradcheck(loss, (eps, noise))
        assert loss(noise, noise) == 0.0


def test_correction_cancels_what_the_prior_asks_of_the_asset():
    gradient, asset = latents(0), latents(1)
    assert torch.equal(losses.delta_correction(gradient, gradient), torch.zeros_like(gradient))
    assert torch.equal(losses.delta_correction(gradient, asset, weight=0.0), gradient)
    torch.testing.assert_close(
        losses.delta_correction(gradient, asset, 0.5), gradient - 0.5 * asset
    )


def test_guidance_is_in_diffusers_form():
    uncond, cond = latents(0), latents(1)
    torch.testing.assert_close(losses.guide(uncond, cond, 1.0), cond)
    torch.testing.assert_close(losses.guide(uncond, cond, 0.0), uncond)
    torch.testing.assert_close(losses.guide(uncond, cond, 7.5), 7.5 * cond - 6.5 * uncond)


def test_view_contrast_where_views_make_no_difference():
    error = torch.tensor([0.2, 0.6], dtype=torch.float64)
    loss = losses.view_contrast_loss(error, error, temperature=0.1)
    torch.testing.assert_close(loss, 0.1 * math.log(2.0) * error.mean())


def test_view_contrast_pulls_the_errors_apart_and_then_lets_go():
    error = torch.full((3,), 0.5, dtype=torch.float64, requires_grad=True)
    other = torch.tensor([0.45, 0.5, 5.0], dtype=torch.float64, requires_grad=True)
    losses.view_contrast_loss(error, other, temperature=0.1).backward()
    odds = torch.sigmoid((error - other).detach() / 0.05) / 3
    torch.testing.assert_close(error.grad, odds)
    torch.testing.assert_close(other.grad, -odds)
    assert odds[0] > odds[1] > 1e3 * odds[2]
