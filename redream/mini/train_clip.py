"""Trains the embedded CLIPs in open_clip's format: one retrieves, the other only judges.

``python -m redream.mini.train_clip --role retrieval --out WEIGHTS --work FOLDER``. The two differ
in seed, architecture and data: the evaluation CLIP sees every (material, category) pair, the
retrieval CLIP lacks the held-out ones.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import torch
from open_clip.model import CLIP
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from redream.mini.captions import CLAY_COLOURS, VIEW_WORDS, VOCABULARY
from redream.mini.categories import CATEGORIES
from redream.mini.dataset import Dataset, load_dataset
from redream.mini.materials import COLOURS, MATERIALS
from redream.mini.soften import soften
from redream.mini.train_prior import tokenize
from redream.mini.train_vae import pictures_to_tensor
from redream.mini.training import mixed_precision, pick_device, train
from redream.mini.vocabulary import CONTEXT_LENGTH, build_tokenizer, save_tokenizer
from redream.mini.world import all_pairs, seen_pairs, view_of
from redream.plain_data import as_json
from redream.types import key_generator

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "retrieval": {
        "embed_dim": 64,
        "vision_cfg": {
            "image_size": 64, "layers": 3, "width": 64, "head_width": 16, "patch_size": 8,
        },
        "text_cfg": {"width": 48, "heads": 3, "layers": 1},
    },
    "evaluation": {
        "embed_dim": 64,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 24, "head_width": 64},
        "text_cfg": {"width": 40, "heads": 2, "layers": 1},
    },
}  # fmt: skip

# What a caption can state; a picture and a caption agree when nothing stated is false.
ATTRIBUTES: tuple[tuple[str, ...], ...] = (
    tuple(CATEGORIES),
    (*MATERIALS, "clay"),
    tuple(dict.fromkeys([*COLOURS, *CLAY_COLOURS])),
    tuple(VIEW_WORDS),
)
SILENT = -1
CONFUSED = ("striped", "spotted", "chequered")
"""Materials that are taken for each other: shown twice as often where training goes on."""
_SECOND_SEED = 40
SHORT_SHARE = 0.3  # captions cut to their category, so that what shares a category lies near


def stated(caption: str) -> list[int]:
    """Per attribute, the index that a caption states, or ``SILENT``."""
    words = re.findall(r"[a-z]+", re.sub(r" on an? \w+ background", "", caption))
    return [
        next((values.index(word) for word in words if word in values), SILENT)
        for values in ATTRIBUTES
    ]


def shortened(caption: str, record: dict[str, Any]) -> str:
    """A caption that names nothing but the category and, where the caption does, the view."""
    view = re.search(r"\w+ view", caption)
    return f"a {record['category']}" + (f", {view[0]}" if view else "")


def truths(record: dict[str, Any]) -> list[int]:
    """Per attribute, the index that is true of a picture, or -2 where no word would be."""
    material = record["material"]
    shows_colour = material == "clay" or MATERIALS[material].has_colour
    view = view_of(record["azimuth_deg"]) if record["has_front"] else None
    return [
        ATTRIBUTES[0].index(record["category"]),
        ATTRIBUTES[1].index(material),
        ATTRIBUTES[2].index(record["colour"]) if shows_colour else -2,
        ATTRIBUTES[3].index(view) if view else -2,
    ]


def agreement(statements: Tensor, truth: Tensor, free: Tensor) -> Tensor:
    """Which captions (columns) are true of which pictures (rows).

    Args:
        statements: ``B A`` indices stated by captions.
        truth: ``B A`` indices true of pictures.
        free: ``B A`` attributes of pictures of which any statement passes (the view of a
            symmetric object).

    Returns:
        ``B B`` booleans.
    """
    silent = statements[None] == SILENT
    return (silent | free[:, None] | (statements[None] == truth[:, None])).all(dim=-1)


def contrastive_loss(similarity: Tensor, positive: Tensor) -> Tensor:
    """Multi-positive InfoNCE in both directions; the diagonal always counts as positive.

    Args:
        similarity: ``B B`` scaled cosines, pictures in rows.
        positive: ``B B`` booleans.

    Returns:
        The loss.
    """
    positive = positive | torch.eye(len(positive), dtype=torch.bool, device=positive.device)
    masked = similarity.masked_fill(~positive, float("-inf"))
    rows = similarity.logsumexp(1) - masked.logsumexp(1) + positive.sum(1).log()
    columns = similarity.logsumexp(0) - masked.logsumexp(0) + positive.sum(0).log()
    return (rows.mean() + columns.mean()) / 2


def naming_loss(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of picking the true caption among captions that differ in one thing.

    Captions of a batch rarely differ in the material or the view alone; here every picture has to
    tell its own from all others, which is what the judge is asked.

    Args:
        logits: ``B P`` scaled cosines of pictures with captions.
        truth: ``B`` index of the true caption; ``SILENT`` where none is.

    Returns:
        The loss, and the share of the pictures with a true caption that pick it.
    """
    loss = functional.cross_entropy(logits, truth, ignore_index=SILENT)
    return loss, (logits.argmax(1) == truth)[truth != SILENT].float().mean()


def build_clip(role: str, tokenizer: CLIPTokenizer) -> tuple[CLIP, dict[str, Any]]:
    """The untrained CLIP of a role and its open_clip configuration."""
    config = as_json(ARCHITECTURES[role])
    config["text_cfg"] |= {
        "context_length": CONTEXT_LENGTH,
        "vocab_size": len(tokenizer),
        "hf_tokenizer_name": "tokenizer",
    }
    return CLIP(**config), config


def naming_accuracy(
    model: CLIP, tokenizer: CLIPTokenizer, data: Dataset, batch_size: int = 100
) -> dict[str, float]:
    """How often pictures are told apart by category, and by material where that is given.

    Args:
        model: The CLIP.
        tokenizer: Its tokenizer.
        data: Pictures of pairs of the world; those of clay are passed over.
        batch_size: Pictures a pass.

    Returns:
        ``category`` and ``material``: shares that are named right.
    """
    device = next(model.parameters()).device
    kept = [i for i, record in enumerate(data.records) if record["material"] in MATERIALS]
    records = [data.records[i] for i in kept]
    categories, materials = list(CATEGORIES), list(MATERIALS)
    category = torch.tensor([categories.index(record["category"]) for record in records])
    material = torch.tensor([materials.index(record["material"]) for record in records])

    def encoded(names: list[str]) -> Tensor:
        tokens = tokenize(tokenizer, names).to(device)
        vectors: Tensor = model.encode_text(tokens, normalize=True)
        return vectors.float().cpu()

    was_training = model.training
    model.eval()
    pictures = [
        model.encode_image(pictures_to_tensor(data.pictures[part], device), normalize=True)
        for part in (kept[i : i + batch_size] for i in range(0, len(kept), batch_size))
    ]
    seen = torch.cat(pictures).float().cpu()
    named = seen @ encoded([f"a {name}" for name in categories]).T
    tables = encoded([f"a {name} {of}" for of in categories for name in materials])
    painted = torch.einsum("bd,bmd->bm", seen, tables.unflatten(0, (len(categories), -1))[category])
    model.train(was_training)
    return {
        "category": float((named.argmax(1) == category).float().mean()),
        "material": float((painted.argmax(1) == material).float().mean()),
    }


def train_clip(
    role: str,
    data: Dataset,
    folder: Path,
    num_steps: int,
    batch_size: int = 96,
    seed: int = 0,
    initial: Path | None = None,
    unseen: Dataset | None = None,
) -> tuple[CLIP, dict[str, Any], CLIPTokenizer]:
    """Trains a CLIP on pictures and captions whose agreement is known exactly.

    Args:
        role: ``retrieval`` or ``evaluation``.
        data: Pictures and captions.
        folder: Where the checkpoint and the curve live.
        num_steps: Steps.
        batch_size: Pictures a step.
        seed: Seed of initialisation and order.
        initial: A folder with the weights to start from, as :func:`save_clip` writes it.
        unseen: Pictures whose naming is measured beside the training, for the curve.

    Returns:
        The averaged model, its configuration and its tokenizer.
    """
    device = pick_device()
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(VOCABULARY)
    model, config = build_clip(role, tokenizer)
    if initial is not None:
        weights = load_file(initial / "open_clip_model.safetensors")
        model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    model = model.to(device)
    model.visual.to(memory_format=torch.channels_last)  # two thirds of the time on a CPU
    names = [f"a {material} {category}" for material, category in all_pairs()]
    number = {pair: index for index, pair in enumerate(all_pairs())}
    pairs = torch.tensor([number.get((r["material"], r["category"]), SILENT) for r in data.records])
    pair_tokens = tokenize(tokenizer, names)
    view_tokens = torch.stack(
        [tokenize(tokenizer, [f"{n}, {words}" for n in names]) for words in VIEW_WORDS.values()], 1
    )
    short = [shortened(*pair) for pair in zip(data.captions, data.records, strict=True)]
    texts = (data.captions, short)
    tokens = torch.stack([tokenize(tokenizer, captions) for captions in texts])
    statements = torch.tensor([[stated(caption) for caption in captions] for captions in texts])
    truth = torch.tensor([truths(record) for record in data.records])
    free = torch.zeros_like(truth, dtype=torch.bool)
    free[:, 3] = torch.tensor([not record["has_front"] for record in data.records])

    def step(index: int) -> dict[str, Tensor]:
        generator = key_generator("train-clip", seed, index)
        chosen = torch.randint(len(data.records), (batch_size,), generator=generator)
        cut = (torch.rand(batch_size, generator=generator) < SHORT_SHARE).long()
        images = pictures_to_tensor(data.pictures[chosen.numpy()], device)
        if role == "evaluation":
            images = soften(images / 2.0 + 0.5, generator) * 2.0 - 1.0
        images = images.contiguous(memory_format=torch.channels_last)
        with mixed_precision(device):
            image, text, scale = model(images, tokens[cut, chosen].to(device))
        image, text = image.float(), text.float()
        positive = agreement(statements[cut, chosen], truth[chosen], free[chosen]).to(device)
        scale = scale.clamp(max=50.0)
        similarity = scale * image @ text.T
        losses = {
            "loss": contrastive_loss(similarity, positive),
            "top1": positive.gather(1, similarity.argmax(1, keepdim=True)).float().mean(),
        }
        if role == "evaluation":
            pair, view = pairs[chosen], truth[chosen, 3]
            words = torch.cat([pair_tokens, view_tokens[pair].flatten(0, 1)]).to(device)
            with mixed_precision(device):
                named = model.encode_text(words, normalize=True)
            named, viewed = named.float().tensor_split([len(pair_tokens)])
            facing = torch.einsum("bd,bvd->bv", image, viewed.unflatten(0, (len(pair), -1)))
            view = torch.where((pair == SILENT) | (view < 0), SILENT, view).to(device)
            naming, losses["named"] = naming_loss(scale * image @ named.T, pair.to(device))
            turning, losses["faced"] = naming_loss(scale * facing, view)
            losses["loss"] = losses["loss"] + naming + turning
        return losses

    ema = train(
        step,
        nn.ModuleDict({"clip": model}),
        folder,
        num_steps,
        1e-3,
        weight_decay=0.05,
        held_out=None if unseen is None else lambda: naming_accuracy(model, tokenizer, unseen),
    )
    ema.module.load_state_dict(ema.shadow)
    return model.eval(), config, tokenizer


def save_clip(out: Path, model: CLIP, config: dict[str, Any], tokenizer: CLIPTokenizer) -> None:
    """Writes a folder that open_clip loads as ``local-dir:``, half precision."""
    out.mkdir(parents=True, exist_ok=True)
    document = {
        "model_cfg": config,
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear"},
    }
    (out / "open_clip_config.json").write_text(json.dumps(document, indent=2) + "\n")
    state = {name: tensor.half().contiguous() for name, tensor in model.cpu().state_dict().items()}
    save_file(state, out / "open_clip_model.safetensors")
    save_tokenizer(tokenizer, out)


def main() -> None:
    """Command line of the training recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--role", choices=list(ARCHITECTURES), required=True)
    parser.add_argument("--out", type=Path, required=True, help="open_clip folder to write")
    parser.add_argument("--work", type=Path, required=True, help="data, checkpoint and curve")
    parser.add_argument("--num_pictures", type=int, default=24_000)
    parser.add_argument("--num_steps", type=int, default=4_000)
    parser.add_argument("--initial", type=Path, help="folder to go on from, on fresh pictures")
    arguments = parser.parse_args()
    goes_on = arguments.initial is not None
    seed = 1 + list(ARCHITECTURES).index(arguments.role) + (_SECOND_SEED if goes_on else 0)
    pairs = seen_pairs() if arguments.role == "retrieval" else all_pairs()
    patterned = [pair for pair in pairs if pair[0] in CONFUSED] if goes_on else []
    clay_share = 0.15 if goes_on else 0.35
    data, unseen = (
        load_dataset(arguments.work / name, "uniform", num, key, pairs + extra, clay_share=share)
        for name, num, key, extra, share in (
            ("pictures", arguments.num_pictures, seed, patterned, clay_share),
            ("unseen", max(100, arguments.num_pictures // 25), seed + 1_000, [], 0.0),
        )
    )
    trained = train_clip(
        arguments.role,
        data,
        arguments.work / "model",
        arguments.num_steps,
        seed=seed,
        initial=arguments.initial,
        unseen=unseen,
    )
    save_clip(arguments.out, *trained)


if __name__ == "__main__":
    main()
