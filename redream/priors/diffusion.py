"""How a prior's noise grows, and what its network was trained to predict."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Predicts = Literal["epsilon", "v_prediction", "flow"]


class Diffusion(NamedTuple):
    """The forward process x_t = alpha_t x_0 + sigma_t eps, and how the network answers.

    Attributes:
        alphas: alpha_t of every training timestep, the share of the picture.
        sigmas: sigma_t of every training timestep, the share of the noise.
        times: What the network is told of each timestep.
        predicts: ``epsilon``: the noise; ``v_prediction``: alpha_t eps - sigma_t x_0 (Salimans
            and Ho, 2022); ``flow``: eps - x_0 along the straight path alpha_t = 1 - sigma_t
            (rectified flow, Liu et al., 2022).
    """

    alphas: Float[Tensor, " T"]
    sigmas: Float[Tensor, " T"]
    times: Float[Tensor, " T"]
    predicts: Predicts


def noise_of(
    predicts: Predicts,
    output: Float[Tensor, "B C h w"],
    noisy: Float[Tensor, "B C h w"],
    alpha: Float[Tensor, "B 1 1 1"],
    sigma: Float[Tensor, "B 1 1 1"],
) -> Float[Tensor, "B C h w"]:
    """The noise that a network's answer amounts to.

    Args:
        predicts: What the network was trained to predict.
        output: Its answer.
        noisy: x_t.
        alpha: alpha_t of each row.
        sigma: sigma_t of each row.

    Returns:
        eps, the same for every kind of network that knows the same pictures.
    """
    if predicts == "epsilon":
        return output
    if predicts == "v_prediction":  # from x_t = a x_0 + s eps, where a^2 + s^2 = 1
        return alpha * output + sigma * noisy
    return noisy + alpha * output  # from the same, where a + s = 1


def from_alphas_cumprod(alphas_cumprod: Float[Tensor, " T"], predicts: Predicts) -> Diffusion:
    """The variance-preserving process of DDPM (Ho et al., 2020).

    Args:
        alphas_cumprod: alpha_bar = alpha_t^2 of every training timestep.
        predicts: What the network was trained to predict.

    Returns:
        The process, its timesteps told as they are counted.
    """
    times = torch.arange(len(alphas_cumprod))
    return Diffusion(alphas_cumprod.sqrt(), (1.0 - alphas_cumprod).sqrt(), times, predicts)


def shifted(
    alphas: Float[Tensor, " T"], sigmas: Float[Tensor, " T"], scale: float
) -> tuple[Float[Tensor, " T"], Float[Tensor, " T"]]:
    """More noise toward the end, as large pictures and several views of one object need it.

    The signal-to-noise ratio falls by ``scale`` at the last timestep, by nothing at the first, and
    between them by its power of the share of time that has passed: MV-Adapter's ``interpolated``
    shift.

    Args:
        alphas: alpha_t of every training timestep, of a process that preserves variance.
        sigmas: Its sigma_t.
        scale: By how much the ratio falls.

    Returns:
        The same of the shifted process.
    """
    share = torch.linspace(0.0, 1.0, len(alphas), dtype=torch.float64, device=alphas.device)
    signal, noise = alphas.double().square() * scale**-share, sigmas.double().square()
    total = signal + noise
    return (signal / total).sqrt().to(alphas), (noise / total).sqrt().to(sigmas)


class Process(NamedTuple):
    """The schedulers of diffusers whose configs describe one kind of forward process.

    Of a scheduler's config the training process alone decides the scores: ``prediction_type``,
    ``num_train_timesteps``, the betas or the shift and ``rescale_betas_zero_snr``. The rest is a
    sampler's affair (``timestep_spacing``, ``steps_offset``, ``set_alpha_to_one``, ``clip_sample``,
    ``thresholding``, ``use_karras_sigmas`` and their like).

    Attributes:
        schedulers: Their names.
        needed: Fields that must be stated, since the schedulers' defaults differ.
        refused: Fields that must not be set, since they make another process of it.
    """

    schedulers: tuple[str, ...]
    needed: tuple[str, ...]
    refused: tuple[str, ...]

    def check(self, stated: Mapping[str, Any]) -> None:
        """Compares a ``scheduler_config.json`` with what can be scored.

        Raises:
            ValueError: If it describes another process, or not all of it.
        """
        name = stated.get("_class_name")
        if name not in self.schedulers:
            raise ValueError(
                f"scheduler/ is of {name}, whose noise is another's than {self.schedulers[0]}'s: "
                f"give a model whose scheduler is one of {', '.join(self.schedulers[:4])} "
                "and their like"
            )
        missing = [field for field in self.needed if stated.get(field) is None]
        if missing and stated.get("trained_betas") is None:
            raise ValueError(
                f"scheduler/ does not state {' and '.join(missing)}: "
                "write what the model was trained with into its scheduler_config.json"
            )
        for field in self.refused:
            if stated.get(field):
                raise ValueError(
                    f"scheduler/ sets {field} to {stated[field]!r}, a process that is not "
                    "supported: give a model that was trained without"
                )


DDPM = Process(
    (
        "DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler",
        "DPMSolverSinglestepScheduler", "DPMSolverSDEScheduler", "UniPCMultistepScheduler",
        "HeunDiscreteScheduler", "LMSDiscreteScheduler", "KDPM2DiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler", "DEISMultistepScheduler", "SASolverScheduler",
        "DDIMInverseScheduler", "DDIMParallelScheduler", "DDPMParallelScheduler",
        "DPMSolverMultistepInverseScheduler", "LCMScheduler", "TCDScheduler",
    ),
    ("beta_start", "beta_end", "beta_schedule"),
    ("use_flow_sigmas", "snr_shift_scale"),
)  # fmt: skip
"""Noise by betas, as ``DDPMScheduler`` reads them."""

FLOW = Process(
    ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"),
    ("shift",),
    ("invert_sigmas",),
)
"""Noise along a straight path. Dynamic shifting moves its times with their noise: it may be set."""


def from_ddpm_scheduler(scheduler: Any) -> Diffusion:  # noqa: ANN401  (diffusers')
    """The process that a ``DDPMScheduler`` describes.

    Raises:
        ValueError: If its network predicts neither the noise nor v.
    """
    predicts = scheduler.config.prediction_type
    if predicts not in ("epsilon", "v_prediction"):
        raise ValueError(f"it predicts {predicts!r}: only epsilon and v_prediction are supported")
    return from_alphas_cumprod(scheduler.alphas_cumprod, predicts)


def from_flow_scheduler(scheduler: Any) -> Diffusion:  # noqa: ANN401  (diffusers')
    """The straight path that a ``FlowMatchEulerDiscreteScheduler`` describes, its shift included.

    The path is kept as it is, alpha_t + sigma_t = 1: rescaling it to preserve variance would
    change neither eps nor, as :func:`redream.schedules.score_weight` reads it, w(t).
    """
    sigmas = scheduler.sigmas.flip(0)  # it counts from noise to picture
    return Diffusion(1.0 - sigmas, sigmas, scheduler.timesteps.flip(0), "flow")
