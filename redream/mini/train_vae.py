"""Trains the embedded prior's autoencoder: 64x64 pictures to 8x16x16 latents."""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn

from redream.mini.training import mixed_precision, pick_device, train
from redream.types import key_generator

LATENT_CHANNELS = 8


def build_vae() -> AutoencoderKL:
    """The untrained autoencoder: factor 4, 8 latent channels.

    Four would hold a patch's mean colour and one number more: too few for a patch of 4x4 pixels
    with an edge in it.
    """
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 48, 64),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=64,
    )


def pictures_to_tensor(pictures: NDArray[np.uint8], device: torch.device) -> Tensor:
    """``B H W 3`` bytes to ``B 3 H W`` floats in [-1, 1]."""
    tensor = torch.from_numpy(np.ascontiguousarray(pictures)).to(device)
    return tensor.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def reconstruction_loss(restored: Tensor, images: Tensor) -> dict[str, Tensor]:
    """Absolute error of pixels and of their differences, which keeps edges sharp; square error.

    Args:
        restored: ``B 3 H W`` in [-1, 1].
        images: What they should be.

    Returns:
        ``loss``, and ``psnr`` in dB.
    """
    pixel = (restored - images).abs().mean()
    edge = torch.stack(
        [(a - b).abs().mean() for a, b in zip(_edges(restored), _edges(images), strict=True)]
    ).sum()
    square = (restored - images).square().mean()
    psnr = -10.0 * torch.log10(square.detach() / 4.0)
    return {"loss": pixel + edge + 2.0 * square, "psnr": psnr}


def _edges(images: Tensor) -> tuple[Tensor, Tensor]:
    return images[..., 1:, :] - images[..., :-1, :], images[..., 1:] - images[..., :-1]


def train_vae(
    pictures: NDArray[np.uint8], folder: Path, num_steps: int, batch_size: int = 16, seed: int = 0
) -> AutoencoderKL:
    """Trains encoder and decoder together.

    Args:
        pictures: ``P 64 64 3``.
        folder: Where the checkpoint and the curve live.
        num_steps: Steps.
        batch_size: Pictures a step.
        seed: Seed of initialisation and of the order.

    Returns:
        The averaged autoencoder, in evaluation mode, with ``scaling_factor`` set so that latents
        have unit standard deviation.
    """
    device = pick_device()
    torch.manual_seed(seed)
    vae = build_vae().to(device)

    def step(index: int) -> dict[str, Tensor]:
        generator = key_generator("train-vae", seed, index)
        chosen = torch.randint(len(pictures), (batch_size,), generator=generator).numpy()
        images = pictures_to_tensor(pictures[chosen], device)
        with mixed_precision(device):
            posterior = vae.encode(images).latent_dist
            restored = vae.decode(posterior.sample()).sample.float()
        losses = reconstruction_loss(restored, images)
        divergence = posterior.kl().mean() / images[0].numel()
        losses["loss"] = losses["loss"] + 1e-5 * divergence
        return {**losses, "kl": divergence.detach()}

    ema = train(step, nn.ModuleDict({"vae": vae}), folder, num_steps, 2e-3, weight_decay=0.0)
    ema.module.load_state_dict(ema.shadow)
    vae.eval()
    chosen = np.random.default_rng(seed).choice(len(pictures), min(1024, len(pictures)))
    latents = encode_pictures(vae, pictures[chosen], device)
    vae.register_to_config(scaling_factor=float(1.0 / latents.float().std()))
    return vae


def refine_decoder(
    vae: AutoencoderKL,
    pictures: NDArray[np.uint8],
    folder: Path,
    num_steps: int,
    batch_size: int = 16,
    seed: int = 0,
    unseen: NDArray[np.uint8] | None = None,
) -> AutoencoderKL:
    """Trains the decoder alone: latents mean what they meant, so a trained UNet stays valid.

    Args:
        vae: An autoencoder; its decoder is changed.
        pictures: ``P 64 64 3``.
        folder: Where the checkpoint and the curves live.
        num_steps: Steps.
        batch_size: Pictures a step.
        seed: Seed of the order.
        unseen: ``Q 64 64 3`` pictures whose reconstruction is measured beside, for the curve.

    Returns:
        The autoencoder with the averaged decoder, in evaluation mode.
    """
    device = pick_device()
    vae = vae.to(device)
    decoder = nn.ModuleDict({"decoder": vae.decoder, "post_quant_conv": vae.post_quant_conv})

    def restored(images: Tensor) -> Tensor:
        with torch.no_grad(), mixed_precision(device):
            latents = vae.encode(images).latent_dist.mean
        with mixed_precision(device):
            pictures: Tensor = vae.decode(latents).sample
        return pictures.float()

    def step(index: int) -> dict[str, Tensor]:
        generator = key_generator("train-decoder", seed, index)
        chosen = torch.randint(len(pictures), (batch_size,), generator=generator).numpy()
        images = pictures_to_tensor(pictures[chosen], device)
        return reconstruction_loss(restored(images), images)

    def held_out() -> dict[str, float]:
        assert unseen is not None
        images = pictures_to_tensor(unseen, device)
        parts = torch.cat([restored(part) for part in images.split(64)])
        return {name: float(value) for name, value in reconstruction_loss(parts, images).items()}

    ema = train(
        step,
        decoder,
        folder,
        num_steps,
        1e-3,
        weight_decay=0.0,
        held_out=None if unseen is None else held_out,
    )
    ema.module.load_state_dict(ema.shadow)
    return vae.eval()


@torch.no_grad()
def encode_pictures(
    vae: AutoencoderKL, pictures: NDArray[np.uint8], device: torch.device, batch_size: int = 64
) -> Tensor:
    """Posterior means, unscaled, as half-precision ``P 8 16 16`` on the CPU."""
    parts = []
    for start in range(0, len(pictures), batch_size):
        images = pictures_to_tensor(pictures[start : start + batch_size], device)
        parts.append(vae.encode(images).latent_dist.mean.half().cpu())
    return torch.cat(parts)
