"""Trains the embedded 2D prior: autoencoder, then text encoder and UNet together.

``python -m redream.mini.train_prior --out WEIGHTS --work FOLDER`` renders the pictures, trains,
and writes an ordinary diffusers folder. Killed and started again, it goes on where it was.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from redream.mini.captions import VOCABULARY
from redream.mini.dataset import load_dataset
from redream.mini.train_vae import LATENT_CHANNELS, encode_pictures, train_vae
from redream.mini.training import mixed_precision, pick_device, train
from redream.mini.vocabulary import CONTEXT_LENGTH, build_tokenizer
from redream.types import key_generator

TEXT_WIDTH = 96
CLAY_SHARE = 0.12
"""Pictures in the library's style, beside the others: a web prior knows what clay looks like, so
that adaptation to an asset need not teach it."""


def build_unet() -> UNet2DConditionModel:
    """The untrained UNet: 16x16 latents, cross-attention at 8x8 and 4x4."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(64, 128, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,  # diffusers' name for the number of heads
        norm_num_groups=16,
    )


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """The untrained text encoder for ``tokenizer``."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT_LENGTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_scheduler() -> DDPMScheduler:
    """Stable Diffusion's noise schedule, noise prediction."""
    return DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Token ids, padded to the context length."""
    encoded = tokenizer(
        captions,
        padding="max_length",
        max_length=CONTEXT_LENGTH,
        truncation=True,
        return_tensors="pt",
    )
    ids: Tensor = encoded.input_ids
    return ids


def train_unet(
    latents: Tensor,
    tokens: Tensor,
    tokenizer: CLIPTokenizer,
    folder: Path,
    num_steps: int,
    batch_size: int = 48,
    text_dropout: float = 0.1,
    seed: int = 0,
) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """Trains UNet and text encoder to predict noise, weighted by min-SNR (gamma 5).

    Args:
        latents: Scaled latents ``P 8 16 16``.
        tokens: Captions ``P L``.
        tokenizer: Gives the empty caption that replaces ``text_dropout`` of the captions.
        folder: Where the checkpoint and the curve live.
        num_steps: Steps.
        batch_size: Latents a step.
        text_dropout: Share of captions dropped, for classifier-free guidance.
        seed: Seed of initialisation, order and noise.

    Returns:
        The averaged UNet and text encoder.
    """
    device = pick_device()
    torch.manual_seed(seed)
    models = nn.ModuleDict({"unet": build_unet(), "text": build_text_encoder(tokenizer)}).to(device)
    scheduler = build_scheduler()
    alphas_cumprod = scheduler.alphas_cumprod.to(device)
    empty = tokenize(tokenizer, [""])

    def step(index: int) -> dict[str, Tensor]:
        generator = key_generator("train-prior", seed, index)
        chosen = torch.randint(len(latents), (batch_size,), generator=generator)
        dropped = torch.rand(batch_size, generator=generator) < text_dropout
        text = torch.where(dropped[:, None], empty, tokens[chosen]).to(device)
        clean = latents[chosen].float().to(device)
        timesteps = torch.randint(1000, (batch_size,), generator=generator).to(device)
        noise = torch.randn(clean.shape, generator=generator).to(device)
        noisy = scheduler.add_noise(clean, noise, timesteps)
        with mixed_precision(device):
            hidden = models["text"](text).last_hidden_state
            predicted = models["unet"](noisy, timesteps, hidden).sample.float()
        snr = alphas_cumprod[timesteps] / (1 - alphas_cumprod[timesteps])
        error = (predicted - noise).square().mean(dim=(1, 2, 3))
        return {"loss": (error * snr.clamp(max=5.0) / snr).mean(), "mse": error.mean().detach()}

    ema = train(step, models, folder, num_steps, 1e-3)
    ema.module.load_state_dict(ema.shadow)
    models.eval()
    return models["unet"], models["text"]


def save_prior(
    out: Path,
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
) -> None:
    """Writes the ordinary diffusers folder, half precision, safetensors."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        vae=vae.cpu().half(),
        text_encoder=text_encoder.cpu().half(),
        tokenizer=tokenizer,
        unet=unet.cpu().half(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(out, safe_serialization=True)


def main() -> None:
    """Command line of the training recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="diffusers folder to write")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints and curves")
    parser.add_argument("--num_pictures", type=int, default=50_000)
    parser.add_argument("--vae_steps", type=int, default=2_600)
    parser.add_argument("--unet_steps", type=int, default=6_800)
    parser.add_argument("--batch_size", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    num_clay = round(CLAY_SHARE * arguments.num_pictures)
    web = load_dataset(arguments.work / "web", "web", arguments.num_pictures, arguments.seed)
    clay = load_dataset(
        arguments.work / "clay", "web", num_clay, arguments.seed + 1, clay_share=1.0
    )
    tokenizer = build_tokenizer(VOCABULARY)
    vae = train_vae(web.pictures, arguments.work / "vae", arguments.vae_steps)
    parts = []
    for name, data in (("web", web), ("clay", clay)):
        path = arguments.work / f"latents_{name}.npy"
        if not path.exists():
            np.save(path, encode_pictures(vae, data.pictures, pick_device()).numpy())
        parts.append(torch.from_numpy(np.load(path)))
    latents = torch.cat(parts) * vae.config.scaling_factor
    unet, text_encoder = train_unet(
        latents,
        tokenize(tokenizer, web.captions + clay.captions),
        tokenizer,
        arguments.work / "unet",
        arguments.unet_steps,
        arguments.batch_size,
        seed=arguments.seed,
    )
    save_prior(arguments.out, vae, unet, text_encoder, tokenizer)


if __name__ == "__main__":
    main()
