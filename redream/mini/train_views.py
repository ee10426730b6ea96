"""Trains the embedded MVDream: the embedded prior, taught sets of views of the library's assets.

``python -m redream.mini.train_views --out outputs/mini/mvdream --work FOLDER`` renders four views
at a time of the 240 clay assets, trains the UNet on them with attention over all four, told their
poses, and writes a folder for :class:`redream.priors.MVDreamPrior`. As MVDream learns from pictures
beside its renders, so that it keeps what only pictures show, a share of the steps takes the web's
pictures, which see themselves alone and are told no pose. Killed and started again, it goes on
where it was; an hour of one CPU core.
"""

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizerFast

from redream.files import whole_file
from redream.mini.captions import short_caption
from redream.mini.dataset import load_dataset
from redream.mini.library import individuals
from redream.mini.multiview_dataset import NUM_VIEWS, load_view_sets
from redream.mini.prepare import LIBRARY_SEED, WEIGHTS
from redream.mini.train_prior import STAGES, Latents, build_scheduler, noise_weight, tokenize
from redream.mini.train_vae import encode_pictures
from redream.mini.training import mixed_precision, pick_device, train
from redream.plain_data import read_json
from redream.priors.families.mvdream import CAMERA_WIDTH
from redream.priors.poses import mvdream_cameras
from redream.priors.view_attention import attend_to_views
from redream.types import key_generator

SETS_EACH, NUM_PICTURES = 6, 6_000
_BATCH_SIZE = {"cpu": 16, "cuda": 256}
_LEARNING_RATE, _EMA_DECAY = 3e-4, 0.995
_TEXT_DROPOUT, _PICTURE_SHARE = 0.1, 0.3
_NOISY_SHARE, _LOWEST_NOISY = (
    0.5,
    0.55,
)  # of sets, there: a view is decided while there is much noise


def told_cameras(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The same UNet with a place for cameras: its answers are unchanged until it is trained.

    Args:
        unet: One that is told no classes.

    Returns:
        A network with copies of its weights, whose camera embedding ends in zeros.
    """
    config = dict(unet.config) | {
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": CAMERA_WIDTH,
    }
    told = UNet2DConditionModel.from_config(config)
    missing, _ = told.load_state_dict(unet.state_dict(), strict=False)
    assert all(name.startswith("class_embedding.") for name in missing)
    for parameter in told.class_embedding.linear_2.parameters():
        nn.init.zeros_(parameter)
    return told


def train_views(
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizerFast,
    sets: tuple[Tensor, Tensor, Tensor],
    pictures: Latents,
    folder: Path,
    num_steps: int,
    batch_size: int = 16,
    seed: int = 50,
) -> UNet2DConditionModel:
    """Trains the UNet to predict noise: of sets that share a time, and of single pictures.

    Args:
        unet: With a place for cameras.
        text_encoder: Frozen.
        tokenizer: Gives the empty caption.
        sets: Scaled latents ``S V 8 16 16``, poses ``S V 4 4`` and tokens ``S L``.
        pictures: Of the web.
        folder: Where the checkpoint and the curves live.
        num_steps: Steps.
        batch_size: Rows of a step.
        seed: Of order and noise.

    Returns:
        The averaged UNet.
    """
    device = pick_device()
    torch.manual_seed(seed)
    models = nn.ModuleDict({"unet": unet}).to(device).train()
    text_encoder.to(device).eval().requires_grad_(requires_grad=False)
    alphas_cumprod = build_scheduler().alphas_cumprod
    empty = tokenize(tokenizer, [""])[0]
    latents, poses, tokens = sets
    num_views = latents.shape[1]

    def drawn(generator: torch.Generator) -> tuple[int, Tensor, Tensor, Tensor, Tensor]:
        """Views of a set, and clean latents, poses, tokens and times of a step."""
        if torch.rand((), generator=generator) < _PICTURE_SHARE:
            chosen = torch.randint(len(pictures.latents), (batch_size,), generator=generator)
            spread = torch.arange(batch_size) + torch.rand(batch_size, generator=generator)
            told = torch.where(
                torch.rand(batch_size, 1, generator=generator) < STAGES["second"].short_share,
                pictures.short[chosen],
                pictures.tokens[chosen],
            )
            no_poses = torch.zeros(batch_size, 4, 4)
            return 1, pictures.latents[chosen], no_poses, told, spread * 1000 / batch_size
        num_sets = batch_size // num_views
        chosen = torch.randint(len(latents), (num_sets,), generator=generator)
        share = (torch.arange(num_sets) + torch.rand(num_sets, generator=generator)) / num_sets
        noisy = torch.rand(num_sets, generator=generator) < _NOISY_SHARE
        at = 1000 * torch.where(noisy, _LOWEST_NOISY + (1 - _LOWEST_NOISY) * share, share)
        return (
            num_views,
            latents[chosen].flatten(0, 1),
            poses[chosen].flatten(0, 1),
            tokens[chosen].repeat_interleave(num_views, dim=0),
            at.repeat_interleave(num_views),
        )

    def step(index: int) -> dict[str, Tensor]:
        generator = key_generator("train-views", seed, index)
        together, clean, pose, told, at = drawn(generator)
        attend_to_views(unet, together)
        times = at.long()
        # A set loses its caption as one.
        dropped = torch.rand(len(told) // together, generator=generator) < _TEXT_DROPOUT
        told = torch.where(dropped.repeat_interleave(together)[:, None], empty, told)
        noise = torch.randn(clean.shape, generator=generator).to(device)
        alphas = alphas_cumprod[times].view(-1, 1, 1, 1).to(device)
        noisy = alphas.sqrt() * clean.float().to(device) + (1 - alphas).sqrt() * noise
        with mixed_precision(device):
            text = text_encoder(told.to(device)).last_hidden_state
            predicted = unet(
                noisy, times.to(device), text, class_labels=mvdream_cameras(pose.to(device))
            ).sample.float()
        error = (predicted - noise).square().mean(dim=(1, 2, 3))
        weight = noise_weight(alphas_cumprod[times], STAGES["second"].emphasis).to(device)
        return {"loss": (error * weight).mean(), "mse": error.mean().detach()}

    ema = train(
        step, models, folder, num_steps, _LEARNING_RATE, fall_share=0.5, ema_decay=_EMA_DECAY
    )
    ema.module.load_state_dict(ema.shadow)
    models.eval()
    return unet


def save_views(out: Path, base: Path, unet: UNet2DConditionModel) -> None:
    """Writes the prior's folder with another UNet, half precision, as ``redream convert`` does.

    Args:
        out: Where to.
        base: The prior that it was trained from.
        unet: The UNet.
    """
    shutil.copytree(base, out, ignore=shutil.ignore_patterns("unet"), dirs_exist_ok=True)
    unet.cpu().half().save_pretrained(out / "unet", safe_serialization=True)
    index: Mapping[str, Any] = read_json(base / "model_index.json")
    stated = {**index, "_class_name": "MVDreamPipeline"}
    with whole_file(out / "model_index.json") as temporary:  # last: the folder is whole then
        temporary.write_text(json.dumps(stated, indent=2) + "\n", "utf-8")


def main() -> None:
    """Command line of the training recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="diffusers folder to write")
    parser.add_argument("--work", type=Path, required=True, help="views, checkpoint and curves")
    parser.add_argument("--initial", type=Path, default=WEIGHTS / "prior", help="to go on from")
    parser.add_argument("--num_steps", type=int, default=6_000)
    parser.add_argument("--sets_each", type=int, default=SETS_EACH, help="of every asset")
    parser.add_argument("--num_pictures", type=int, default=NUM_PICTURES, help="of the web")
    arguments = parser.parse_args()
    base, work, device = arguments.initial, arguments.work, pick_device()
    tokenizer = CLIPTokenizerFast.from_pretrained(base, subfolder="tokenizer")
    vae = AutoencoderKL.from_pretrained(base, subfolder="vae").float().to(device)
    scale = vae.config.scaling_factor
    views = load_view_sets(work / "views.npz", individuals(LIBRARY_SEED), arguments.sets_each)
    flat = views.pictures.reshape(-1, *views.pictures.shape[2:])
    stage = STAGES["second"]
    web = load_dataset(work / "web", "web", arguments.num_pictures, stage.seed, stage.pairs())
    with torch.no_grad():
        latents = encode_pictures(vae, flat, device).unflatten(0, (-1, NUM_VIEWS)) * scale
        single = encode_pictures(vae, web.pictures, device) * scale
    short = [short_caption(record) for record in web.records]
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet").float()
    unet = train_views(
        told_cameras(unet),
        CLIPTextModel.from_pretrained(base, subfolder="text_encoder").float(),
        tokenizer,
        (latents, views.poses, tokenize(tokenizer, views.captions)),
        Latents(single, tokenize(tokenizer, web.captions), tokenize(tokenizer, short)),
        work / "unet",
        arguments.num_steps,
        _BATCH_SIZE[device.type],
    )
    save_views(arguments.out, base, unet)


if __name__ == "__main__":
    main()
