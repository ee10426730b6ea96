"""The paper's equations, one pure function each. All are losses to descend.

Score differences carry ``+w(t)``: the sign printed in Eqs. 1, 2 and 7 is that of the step taken,
not of the loss's gradient. Eqs. 3-5 keep their printed sign.
"""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus


def sds_gradient(
    eps_prior: Float[Tensor, "B C h w"],
    noise: Float[Tensor, "B C h w"],
    weight: Float[Tensor, "B 1 1 1"],
) -> Float[Tensor, "B C h w"]:
    """Eq. 1: dL/dx = w(t) (eps_prior - eps).

    Args:
        eps_prior: Noise predicted by the 2D prior, guided.
        noise: The noise eps that was added.
        weight: w(t) of each row.

    Returns:
        The gradient with respect to the latents.
    """
    return weight * (eps_prior - noise)


def vsd_gradient(
    eps_prior: Float[Tensor, "B C h w"],
    eps_variational: Float[Tensor, "B C h w"],
    weight: Float[Tensor, "B 1 1 1"],
) -> Float[Tensor, "B C h w"]:
    """Eq. 2 (and Eq. 20 with the adapted prior): dL/dx = w(t) (eps_prior - eps_zeta).

    Args:
        eps_prior: Noise predicted by the 2D prior, guided.
        eps_variational: Noise predicted by the variational adapter zeta.
        weight: w(t) of each row.

    Returns:
        The gradient with respect to the latents.
    """
    return weight * (eps_prior - eps_variational)


def delta_correction(
    gradient: Float[Tensor, "B C h w"],
    asset_gradient: Float[Tensor, "B C h w"],
    weight: float = 1.0,
) -> Float[Tensor, "B C h w"]:
    """App. B: v_2D - weight v_2D(theta_ret), before the particle's Jacobian.

    Both gradients must share camera, diffusion time and noise, so that what the prior asks of
    the retrieved asset itself cancels.

    Args:
        gradient: Score difference at the particle's views.
        asset_gradient: The same score difference at the retrieved asset's views.
        weight: Strength of the correction; 0 turns it off, 1 is the paper's.

    Returns:
        The corrected gradient.
    """
    return gradient - weight * asset_gradient


def guidance_loss(
    latents: Float[Tensor, "B C h w"], gradient: Float[Tensor, "B C h w"]
) -> Float[Tensor, ""]:
    """A scalar whose gradient with respect to row b of the latents is ``gradient[b] / B``.

    It is ||z - stop(z - gradient)||^2 / (2 B): each row receives its gradient, averaged over the
    views as the expectation over psi asks.

    Args:
        latents: Latents of the rendered views.
        gradient: A score difference; no gradient flows into it.

    Returns:
        The loss, half the squared norm of the gradient.
    """
    target = (latents - gradient).detach()
    return 0.5 * (latents - target).square().sum() / latents.shape[0]


def asset_loss(
    rendered: Float[Tensor, "B 3 H W"],
    reference: Float[Tensor, "B 3 H W"],
    sigma: float,
    num_latents: int = 1,
) -> Float[Tensor, ""]:
    """Eq. 3 during warm-up: E_psi ||g(theta, psi) - g(theta_ret, psi)||^2 / sigma^2.

    The squared norm is a mean over pixels and channels, counted once for each element of the
    latents: Eq. 2's gradient is a sum over those, so that both terms grow alike with the size of
    the latents, and neither with that of the pictures. sigma and tau mean the same for every prior
    and resolution.

    Args:
        rendered: The particle's views, in [0, 1].
        reference: The retrieved asset's views at the same cameras, over the same background.
        sigma: Width of the kernel around the asset: where each picture is off by
            ``sigma / sqrt(num_latents)`` of the range of colour, the loss is 1.
        num_latents: Elements of one picture's latents, C h w; 1 leaves the mean as it is.

    Returns:
        The loss.
    """
    return num_latents * (rendered - reference).square().mean() / sigma**2


def variational_loss(
    eps_variational: Float[Tensor, "B C h w"],
    noise: Float[Tensor, "B C h w"],
    weight: Float[Tensor, "B 1 1 1"] | float = 1.0,
) -> Float[Tensor, ""]:
    """Eq. 4: E ||eps_zeta(x_t, t, c, psi) - eps||^2 over detached views of the particles.

    Args:
        eps_variational: Noise predicted by the variational adapter zeta, unguided.
        noise: The noise that was added.
        weight: Of each row; 1 as printed, ``Prior.denoising_weight`` for networks that predict v.

    Returns:
        The loss, a mean over all elements.
    """
    return (weight * (eps_variational - noise).square()).mean()


def adapter_loss(
    eps_adapted: Float[Tensor, "B C h w"],
    noise: Float[Tensor, "B C h w"],
    weight: Float[Tensor, "B 1 1 1"] | float = 1.0,
) -> Float[Tensor, ""]:
    """Eq. 5: E ||eps_omega(x_t, t, cat(e_psi, c_ret)) - eps||^2 over views of the assets.

    Args:
        eps_adapted: Noise predicted by the light adapter omega, unguided.
        noise: The noise that was added.
        weight: Of each row; 1 as printed, ``Prior.denoising_weight`` for networks that predict v.

    Returns:
        The loss, a mean over all elements.
    """
    return (weight * (eps_adapted - noise).square()).mean()


def view_contrast_loss(
    error: Float[Tensor, " B"],
    other_error: Float[Tensor, " B"],
    temperature: float = 0.4,
) -> Float[Tensor, ""]:
    """Asks a denoiser to tell the view that noise was added to from another one.

    A denoiser that knows views errs less under the prefix of the view that x_t came from. As in a
    diffusion classifier (Li et al., 2023), the errors are logits and the loss is the cross-entropy
    of the two views. The temperature is a share of each row's own error, and the loss is in units
    of Eq. 5's. This term is ours, not the paper's.

    Args:
        error: Squared error of the noise of each row, under its own view's prefix.
        other_error: The same under another view's prefix.
        temperature: Relative difference of the errors that makes the odds e to 1.

    Returns:
        The loss; ``temperature log 2`` times the mean error where the views make no difference.
    """
    scale = temperature * error.detach().clamp_min(1e-12)
    return (scale * softplus((error - other_error) / scale)).mean()


def guide(
    eps_uncond: Float[Tensor, "B C h w"],
    eps_cond: Float[Tensor, "B C h w"],
    guidance_scale: float,
) -> Float[Tensor, "B C h w"]:
    """Classifier-free guidance in diffusers' form: eps_uncond + s (eps_cond - eps_uncond).

    Args:
        eps_uncond: Noise predicted without the prompt.
        eps_cond: Noise predicted with the prompt.
        guidance_scale: s; 1 is no guidance.

    Returns:
        The guided noise.
    """
    return eps_uncond + guidance_scale * (eps_cond - eps_uncond)


def rescale_guided(
    guided: Float[Tensor, "B C h w"],
    conditional: Float[Tensor, "B C h w"],
    share: float,
    views_per_set: int = 1,
) -> Float[Tensor, "B C h w"]:
    """Brings back some of the contrast that guidance added (Lin et al., 2023), as MVDream does.

    Args:
        guided: Clean pictures x_0 as the guided noise has them.
        conditional: The same as the conditional noise has them.
        share: 0 leaves ``guided``, 1 gives it the standard deviation of ``conditional``.
        views_per_set: So many neighbouring rows have one standard deviation.

    Returns:
        share f x_0 + (1 - share) x_0, where f is the ratio of the standard deviations of each set.
    """
    spread, own = (
        each.unflatten(0, (-1, views_per_set)).std(dim=(1, 2, 3, 4))
        for each in (conditional, guided)
    )
    factor: Tensor = (
        (spread / own.clamp_min(1e-8)).repeat_interleave(views_per_set).view(-1, 1, 1, 1)
    )
    scaled: Tensor = (share * factor + (1.0 - share)) * guided
    return scaled


def repel(
    eps_uncond: Float[Tensor, "B C h w"],
    eps_cond: Float[Tensor, "B C h w"],
    repelled: Sequence[tuple[Float[Tensor, "B C h w"], Float[Tensor, " B"]]],
) -> Float[Tensor, "B C h w"]:
    """Perp-Neg (Armandpour et al., 2023): turns a prompt away from others, keeping what they share.

    Of each other prompt only the part perpendicular to the wanted one is subtracted, so that what
    both have in common (the object) stays and what tells them apart (the view) goes.

    Args:
        eps_uncond: Noise predicted without a prompt.
        eps_cond: Noise predicted with the wanted prompt.
        repelled: Noise predicted with each other prompt, and how strongly it repels.

    Returns:
        The noise to guide towards in the place of ``eps_cond``.
    """
    wanted = eps_cond - eps_uncond
    axes = tuple(range(1, wanted.ndim))
    length = wanted.square().sum(axes, keepdim=True).clamp_min(1e-6)
    for eps, weight in repelled:
        other = eps - eps_uncond
        parallel = (other * wanted).sum(axes, keepdim=True) / length * wanted
        strength = weight.view(-1, *[1] * len(axes))
        eps_cond = eps_cond - strength * (other - parallel)
    return eps_cond


def sum_of(terms: Iterable[Tensor]) -> Tensor:
    """Adds scalars; the losses of particles are summed, not averaged."""
    return torch.stack(list(terms)).sum()
