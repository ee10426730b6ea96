"""Trains the embedded 2D prior: autoencoder, then text encoder and UNet together.

``python -m redream.mini.train_prior --out WEIGHTS --work FOLDER`` renders the pictures, trains,
and writes an ordinary diffusers folder. Killed and started again, it goes on where it was.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from redream.files import whole_file
from redream.mini.captions import VOCABULARY, short_caption
from redream.mini.dataset import Dataset, load_dataset
from redream.mini.train_vae import (
    LATENT_CHANNELS,
    encode_pictures,
    refine_decoder,
    train_vae,
)
from redream.mini.training import mixed_precision, pick_device, train
from redream.mini.vocabulary import CONTEXT_LENGTH, build_tokenizer
from redream.mini.world import RECIPES, Pair, seen_pairs
from redream.types import key_generator

TEXT_WIDTH = 96
PATTERNS = ("striped", "spotted", "chequered", "wooden", "marble")
"""Materials that are more than a colour: the hardest to learn."""
_BATCH_SIZE = {"cpu": 48, "cuda": 384}


@dataclass(frozen=True)
class Stage:
    """A part of the prior's training.

    Attributes:
        seed: Of pictures, initialisation, order and noise.
        num_pictures: Pictures rendered for it.
        vae_steps: Steps of the autoencoder; of its decoder alone in a later stage.
        unet_steps: Steps of UNet and text encoder.
        learning_rate: Its peak.
        fall_share: Share of the steps, the last ones, over which it falls.
        ema_decay: Weight of the past in the averaged parameters.
        pattern_weight: How often a pair of one of ``PATTERNS`` is shown, against any other.
        normal_maps: Share of pictures that are normal maps.
        clay_share: Pictures in the library's style, beside the others: a web prior knows what clay
            looks like, so that adaptation to an asset need not teach it.
        short_share: Share of captions cut to what a user asks for: "a striped vase", no colour.
        emphasis: As for :func:`noise_weight`.
    """

    seed: int
    num_pictures: int
    vae_steps: int
    unet_steps: int
    learning_rate: float = 1e-3
    fall_share: float = 1.0
    ema_decay: float = 0.999
    pattern_weight: int = 1
    normal_maps: float = 0.10
    clay_share: float = 0.12
    short_share: float = 0.0
    emphasis: float = 0.0

    def pairs(self) -> list[Pair]:
        """The pairs to show, the weighted ones several times."""
        extra = [pair for pair in seen_pairs() if pair[0] in PATTERNS]
        return seen_pairs() + extra * (self.pattern_weight - 1)


STAGES = {
    "first": Stage(seed=0, num_pictures=50_000, vae_steps=2_600, unet_steps=6_800),
    "second": Stage(
        seed=40,
        num_pictures=40_000,
        vae_steps=3_000,
        unet_steps=13_600,
        learning_rate=5e-4,
        fall_share=0.3,
        ema_decay=0.998,
        pattern_weight=2,
        normal_maps=0.05,
        clay_share=0.10,
        short_share=0.4,
        emphasis=0.2,
    ),
}


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


def noise_weight(alphas_cumprod: Tensor, emphasis: float) -> Tensor:
    """Weight of the noise's square error, min-SNR (gamma 5) with more on what is all but noise.

    There the layout of a picture is decided, yet the noise is easily told from so little else:
    its error says next to nothing of it.

    Args:
        alphas_cumprod: The schedule's, at the times of a batch.
        emphasis: 0 is min-SNR (Hang et al., 2023); where the signal-to-noise ratio is ``snr`` it
            is multiplied by ``1 + emphasis / snr``.

    Returns:
        The weights.
    """
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return snr.clamp(max=5.0) / snr * (1.0 + emphasis / snr)


@dataclass(frozen=True)
class Latents:
    """What the UNet is trained on, or measured on.

    Attributes:
        latents: Scaled, ``P 8 16 16``.
        tokens: Captions ``P L``.
        short: Captions cut to what a user asks for, ``P L``.
    """

    latents: Tensor
    tokens: Tensor
    short: Tensor


def train_unet(
    data: Latents,
    unseen: Latents,
    tokenizer: CLIPTokenizer,
    folder: Path,
    stage: Stage,
    num_steps: int,
    batch_size: int = 48,
    text_dropout: float = 0.1,
    initial: Path | None = None,
) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """Trains UNet and text encoder to predict noise.

    Args:
        data: Latents and captions.
        unseen: Others, whose error is measured beside the training, for the curve.
        tokenizer: Gives the empty caption that replaces ``text_dropout`` of the captions.
        folder: Where the checkpoint and the curves live.
        stage: How to train.
        num_steps: Steps.
        batch_size: Latents a step.
        text_dropout: Share of captions dropped, for classifier-free guidance.
        initial: A diffusers folder with the weights to go on from.

    Returns:
        The averaged UNet and text encoder.
    """
    device = pick_device()
    torch.manual_seed(stage.seed)
    if initial is None:
        unet, text_encoder = build_unet(), build_text_encoder(tokenizer)
    else:
        unet = UNet2DConditionModel.from_pretrained(initial, subfolder="unet").float()
        text_encoder = CLIPTextModel.from_pretrained(initial, subfolder="text_encoder").float()
    if device.type == "cpu":  # PyTorch's fused attention costs a fifth of a CPU's step, backward
        unet.set_attn_processor(AttnProcessor())
    models = nn.ModuleDict({"unet": unet, "text": text_encoder}).to(device).train()
    alphas_cumprod = build_scheduler().alphas_cumprod
    empty = tokenize(tokenizer, [""])

    def errors(clean: Tensor, text: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        alphas = alphas_cumprod[times].view(-1, 1, 1, 1).to(device)
        noise = noise.to(device)
        noisy = alphas.sqrt() * clean.float().to(device) + (1 - alphas).sqrt() * noise
        with mixed_precision(device):
            hidden = models["text"](text.to(device)).last_hidden_state
            predicted = models["unet"](noisy, times.to(device), hidden).sample.float()
        error: Tensor = (predicted - noise).square().mean(dim=(1, 2, 3))
        return error

    def step(index: int) -> dict[str, Tensor]:
        generator = key_generator("train-prior", stage.seed, index)
        chosen = torch.randint(len(data.latents), (batch_size,), generator=generator)
        is_short = torch.rand(batch_size, generator=generator) < stage.short_share
        text = torch.where(is_short[:, None], data.short[chosen], data.tokens[chosen])
        dropped = torch.rand(batch_size, generator=generator) < text_dropout
        text = torch.where(dropped[:, None], empty, text)
        spread = torch.arange(batch_size) + torch.rand(batch_size, generator=generator)
        times = (spread * 1000 / batch_size).long()  # one in each of as many parts of the schedule
        noise = torch.randn(data.latents[chosen].shape, generator=generator)
        error = errors(data.latents[chosen], text, times, noise)
        weight = noise_weight(alphas_cumprod[times], stage.emphasis).to(device)
        return {"loss": (error * weight).mean(), "mse": error.mean().detach()}

    def held_out() -> dict[str, float]:
        """Errors of the clean latents, whose variance is 1, by fifths of the schedule."""
        models.eval()
        parts, num = [], len(unseen.latents)
        times = torch.arange(num) * 1000 // max(1, num)
        noise = torch.randn(
            unseen.latents.shape, generator=key_generator("train-prior-unseen", stage.seed)
        )
        for chosen in torch.arange(num).split(batch_size):
            batch = (unseen.latents, unseen.tokens, times, noise)
            parts.append(errors(*(each[chosen] for each in batch)).cpu())
        models.train()
        error = torch.cat(parts)
        alphas = alphas_cumprod[times]
        clean = error * (1 - alphas) / alphas
        measured = {"loss": float((error * noise_weight(alphas, stage.emphasis)).mean())}
        for low in range(0, 1000, 200):
            inside = (times >= low) & (times < low + 200)
            measured[f"clean_{low}"] = float(clean[inside].mean())
        return measured

    ema = train(
        step,
        models,
        folder,
        num_steps,
        stage.learning_rate,
        fall_share=stage.fall_share,
        ema_decay=stage.ema_decay,
        held_out=held_out,
    )
    ema.module.load_state_dict(ema.shadow)
    models.eval()
    return unet, text_encoder


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
    parser.add_argument("--stage", choices=list(STAGES), default="first")
    parser.add_argument("--initial", type=Path, help="diffusers folder to go on from")
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of steps")
    parser.add_argument("--num_pictures", type=int, help="default: the stage's")
    arguments = parser.parse_args()
    stage: Stage = STAGES[arguments.stage]
    if (arguments.initial is None) != (arguments.stage == "first"):
        parser.error("the first stage begins from nothing, every later one needs --initial")
    batch_size = _BATCH_SIZE[pick_device().type]
    num = arguments.num_pictures or stage.num_pictures
    work, seed = arguments.work, stage.seed
    recipe = replace(RECIPES["web"], normal_maps=stage.normal_maps)
    pairs = stage.pairs()
    web = load_dataset(work / "web", recipe, num, seed, pairs)
    num_clay = round(stage.clay_share * num)
    clay = load_dataset(work / "clay", recipe, num_clay, seed + 1, pairs, clay_share=1.0)
    unseen = load_dataset(work / "unseen", recipe, max(1, num // 50), seed + 2, pairs)
    tokenizer = build_tokenizer(VOCABULARY)
    vae_steps = max(1, round(arguments.scale * stage.vae_steps))
    if arguments.initial is None:
        vae = train_vae(web.pictures, work / "vae", vae_steps, seed=seed)
    else:
        vae = AutoencoderKL.from_pretrained(arguments.initial, subfolder="vae").float()
        vae = refine_decoder(
            vae, web.pictures, work / "decoder", vae_steps, seed=seed, unseen=unseen.pictures
        )

    def encoded(name: str, data: Dataset) -> Latents:
        path = work / f"latents_{name}.npy"
        if not path.exists():
            with whole_file(path) as temporary, temporary.open("wb") as file:
                np.save(file, encode_pictures(vae, data.pictures, pick_device()).numpy())
        latents = torch.from_numpy(np.load(path)) * vae.config.scaling_factor
        short = [short_caption(record) for record in data.records]
        return Latents(latents, tokenize(tokenizer, data.captions), tokenize(tokenizer, short))

    parts = [encoded("web", web), encoded("clay", clay)]
    unet, text_encoder = train_unet(
        Latents(
            torch.cat([part.latents for part in parts]),
            torch.cat([part.tokens for part in parts]),
            torch.cat([part.short for part in parts]),
        ),
        encoded("unseen", unseen),
        tokenizer,
        work / "unet",
        stage,
        max(1, round(arguments.scale * stage.unet_steps)),
        batch_size,
        initial=arguments.initial,
    )
    save_prior(arguments.out, vae, unet, text_encoder, tokenizer)


if __name__ == "__main__":
    main()
