"""What the embedded prior's samples are worth, of one prior or of several side by side.

``python -m benchmarks.mini samples`` measures the shipped prior with the shipped judge.
``--prior NAME=FOLDER``, any number of times, adds others (diffusers folders), ``--judge FOLDER``
takes another judge for all of them: two generations are compared by one judge on one noise.
Samples are kept in the work folder, by the weights that made them, so another judge costs little.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redream.files import whole_file

NUM_RENDERS = 1_000
ROUNDS = {"seen": 2, "held_out": 4}
"""Samples of each pair."""


def measure_samples(work: Path, priors: Mapping[str, Path], judge: Path) -> dict[str, Any]:
    """Measures priors and the judge itself.

    Args:
        work: Where samples are kept, and ``samples.json`` is written.
        priors: Diffusers folders by name.
        judge: The CLIP that judges, an open_clip folder.

    Returns:
        What was measured.
    """
    from redream.metrics import kernel_distance
    from redream.mini.recognition import recognise
    from redream.mini.world import all_pairs, seen_pairs
    from redream.retrieval import Encoder
    from redream.tools.lightning import configured

    encoder = Encoder(str(judge))
    truth, pairs = _renders(30_000, all_pairs(), "uniform", 400)
    result: dict[str, Any] = {"judge": _verdicts(encoder, pairs, truth), "priors": {}}
    like, _ = _renders(31_000, seen_pairs(), "web", NUM_RENDERS)
    reference = _encode(encoder, like)
    half = len(reference) // 2
    result["renders"] = vars(kernel_distance(reference[:half], reference[half:]))
    for name, folder in priors.items():
        model = configured(
            "configs/default.yaml", f"--model.prior.init_args.model={folder.resolve()}"
        ).model
        restored = _restored(model.prior, truth)
        row: dict[str, Any] = {
            "guidance_scale": model.guidance.last_scale,
            "restored": _verdicts(encoder, pairs, restored),
            "psnr": float(-10.0 * (restored - truth).square().mean().log10()),
        }
        for split in ROUNDS:
            asked = _pairs_of(split)
            kept = work / "samples" / f"{split}-{_digest(folder)}.npy"
            pictures = _samples(model.prior, asked, model.guidance.last_scale, kept)
            row[split] = vars(recognise(encoder, asked, pictures))
            if split == "seen":
                row["distance"] = vars(kernel_distance(_encode(encoder, pictures), reference))
        row["autoencoded"] = vars(
            kernel_distance(_encode(encoder, _restored(model.prior, like[:half])), reference[half:])
        )
        result["priors"][name] = row
    with whole_file(work / "samples.json") as temporary:
        temporary.write_text(json.dumps(result, indent=2), "utf-8")
    return result


def sample_lines(measured: Mapping[str, Any]) -> list[str]:
    """The section of ``docs/mini.md``.

    Args:
        measured: What :func:`measure_samples` gave.
    """
    priors: Mapping[str, Any] = measured["priors"]

    def percent(share: float) -> str:
        return f"{100 * share:.0f}%"

    def distance(row: Mapping[str, float]) -> str:
        return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"

    def named(row: Mapping[str, float]) -> str:
        return f"{percent(row['category'])}, {percent(row['material'])}"

    judge = measured["judge"]
    lines = [
        f"The judge on {judge['num']} unseen renders: category {percent(judge['category'])} "
        f"(floor 97%), material {percent(judge['material'])} (floor 92%).",
        "",
        f"| measure | {' | '.join(priors)} | floor |",
        "|---" * (len(priors) + 2) + "|",
    ]
    guidance = next(iter(priors.values()))["guidance_scale"]
    rows = [
        (f"samples of seen pairs, guidance {guidance:g}: category, material",
         [named(row["seen"]) for row in priors.values()], "98%, 88%"),
        ("samples of held-out pairs: category, material",
         [named(row["held_out"]) for row in priors.values()], "97%, 80%"),
        ("kernel distance of samples and renders",
         [distance(row["distance"]) for row in priors.values()], "half of generation 3's"),
        ("kernel distance of autoencoded renders and renders",
         [distance(row["autoencoded"]) for row in priors.values()], ""),
        ("autoencoder on unseen renders",
         [f"{row['psnr']:.1f} dB" for row in priors.values()], "31 dB"),
        ("judge on autoencoded renders: category, material",
         [named(row["restored"]) for row in priors.values()], ""),
    ]  # fmt: skip
    lines += [f"| {text} | {' | '.join(values)} | {floor} |" for text, values, floor in rows]
    numbers = ", ".join(str(next(iter(priors.values()))[split]["num"]) for split in ROUNDS)
    alike = distance(measured["renders"])
    lines += [
        "",
        f"{numbers} samples of seen and of held-out pairs, the same noise for every prior. Kernel "
        "distance in the judge's features, with a jackknife's 95% interval; that of renders and "
        f"other renders is {alike}.",
        "",
        _short_of_floors(judge, list(priors.values())[-1]),
    ]
    return lines


def _short_of_floors(judge: Mapping[str, float], prior: Mapping[str, Any]) -> str:
    """Names what the last of the priors, and the judge, do not reach."""
    reached = [
        (f"{what} {key} {100 * row[key]:.0f}% of {floor}%", row[key] >= floor / 100)
        for what, row, floors in (
            ("the judge's", judge, {"category": 97, "material": 92}),
            ("seen pairs'", prior["seen"], {"category": 98, "material": 88}),
            ("held-out pairs'", prior["held_out"], {"category": 97, "material": 80}),
        )
        for key, floor in floors.items()
    ]
    reached.append((f"the autoencoder {prior['psnr']:.1f} of 31 dB", prior["psnr"] >= 31.0))
    return short_of(reached)


def short_of(reached: Sequence[tuple[str, bool]]) -> str:
    """Names what does not reach its floor: a line of the page.

    Args:
        reached: What there is, beside its floor, and whether it reaches it.
    """
    short = [text for text, is_reached in reached if not is_reached]
    return f"Short of its floor: {', '.join(short) or 'nothing'}."


def contact_sheet(work: Path, folder: Path, split: str) -> Tensor:
    """Twenty-four of the samples of a prior, ``24 3 64 64`` in [0, 1]."""
    pictures = torch.from_numpy(np.load(work / "samples" / f"{split}-{_digest(folder)}.npy"))
    return pictures[:: len(pictures) // 24][:24].float() / 255.0


def _pairs_of(split: str) -> list[tuple[str, str]]:
    from redream.mini.world import HELD_OUT, seen_pairs

    pairs = seen_pairs() if split == "seen" else sorted(HELD_OUT)
    return pairs * ROUNDS[split]


def _samples(
    prior: Any,  # noqa: ANN401
    pairs: Sequence[tuple[str, str]],
    guidance_scale: float,
    kept: Path,
) -> Tensor:
    """Samples ``P 3 64 64`` in [0, 1], from the file where they are kept, as bytes."""
    from redream.metrics.prior_balance import sample_pictures
    from redream.mini.recognition import describe

    if not kept.is_file():
        made = sample_pictures(prior, [describe(pair) for pair in pairs], guidance_scale, 0)
        with whole_file(kept) as temporary, temporary.open("wb") as file:
            np.save(file, (made * 255.0).round().byte().numpy())
    return torch.from_numpy(np.load(kept)).float() / 255.0


def _renders(
    seed: int, pairs: Sequence[tuple[str, str]], recipe: str, num: int
) -> tuple[Tensor, list[tuple[str, str]]]:
    """Renders ``num 3 64 64`` in [0, 1], no normal maps among them, and their pairs."""
    from redream.mini.world import PictureSampler, Sample

    sampler, index = PictureSampler(seed, pairs, recipe), 0
    samples: list[Sample] = []
    while len(samples) < num:
        sample = sampler[index]
        index += 1
        if not sample.is_normal_map:
            samples.append(sample)
    stacked = torch.from_numpy(np.stack([sample.picture for sample in samples]))
    return stacked.permute(0, 3, 1, 2) / 255.0, [(s.material, s.category) for s in samples]


@torch.no_grad()
def _restored(prior: Any, pictures: Tensor) -> Tensor:  # noqa: ANN401
    parts = [prior.decode_latents(prior.encode_images(part)) for part in pictures.split(50)]
    return torch.cat(parts)


def _verdicts(
    encoder: Any,  # noqa: ANN401
    pairs: Sequence[tuple[str, str]],
    pictures: Tensor,
) -> dict[str, Any]:
    from redream.mini.recognition import recognise

    return vars(recognise(encoder, pairs, pictures))


def _encode(encoder: Any, pictures: Tensor) -> Tensor:  # noqa: ANN401
    return torch.cat([torch.as_tensor(encoder.encode_images(part)) for part in pictures.split(100)])


def _digest(folder: Path) -> str:
    """Names a prior by its weights."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
