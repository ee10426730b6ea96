"""Measures the embedded world and the default run on it, and writes docs/mini.md.

``python benchmarks/mini.py prior`` measures the prior, its judges and orientation;
``python benchmarks/mini.py adaptation`` measures what adaptation teaches, for 12
prompts (finished ones are kept, so it resumes);
``python benchmarks/mini.py objects`` makes 12 objects (finished ones are kept, so it resumes);
``python benchmarks/mini.py table`` writes what is there as Markdown. Without a word: all of it.
``--share 0/2`` and ``--share 1/2`` let two processes take half of the prompts each.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

PROMPTS = (
    "a golden elephant",
    "a striped vase",
    "a striped dog",
    "a chequered car",
    "a golden robot",
    "a wooden rabbit",
    "a chequered bird",
    "a spotted fish",
    "a wooden chair",
    "a spotted cat",
    "a marble snowman",
    "a striped mushroom",
)
"""None is in the library, which is of clay; the first eight were held out of all training."""


def measure_prior(work: Path) -> None:
    """Measures what the prior and the CLIPs can do, at the default run's guidance."""
    from redream.metrics.prior_balance import sample_pictures
    from redream.mini.prepare import embedded_world
    from redream.mini.recognition import describe, obeys_back, recognise
    from redream.mini.view_classifier import ViewClassifier
    from redream.mini.world import HELD_OUT, seen_pairs
    from redream.retrieval import Encoder
    from redream.tools.lightning import configured

    world = embedded_world()
    model = configured("configs/default.yaml").model
    prior, guidance_scale = model.prior, model.guidance_scale
    judge = ViewClassifier.load(_judge_weights(work))
    evaluator = Encoder(str(world.evaluation_clip))
    result: dict[str, Any] = {"guidance_scale": guidance_scale, "judge": _judge_accuracy(work)}
    result["ceilings"] = _ceilings(evaluator, prior)
    for name, pairs in (("seen", seen_pairs() * 2), ("held_out", sorted(HELD_OUT) * 8)):
        pictures = sample_pictures(prior, [describe(pair) for pair in pairs], guidance_scale, 0)
        result[name] = vars(recognise(evaluator, pairs, pictures))
        _contact_sheet(pictures[:: len(pictures) // 24][:24], Path(f"docs/images/{name}.png"))
    pairs = [pair for pair in seen_pairs() if _has_front(pair[1])] * 2
    pictures = sample_pictures(
        prior, [describe(pair) for pair in pairs], guidance_scale, 1, view="back"
    )
    result["raw_back"] = {"obeys": obeys_back(judge, pictures), "num": len(pairs)}
    result["orientation"] = _orientation(Encoder(str(world.retrieval_clip)))
    _write(work / "prior.json", result)


def measure_adaptation(work: Path, share: slice) -> None:
    """Measures what adapters of a share of 12 prompts can do."""
    from redream.mini.prepare import embedded_world
    from redream.mini.view_classifier import ViewClassifier
    from redream.retrieval import Encoder

    judge = ViewClassifier.load(_judge_weights(work))
    evaluator = Encoder(str(embedded_world().evaluation_clip))
    _adaptation(evaluator, judge, work / "adaptation", share)


def _judge_weights(work: Path) -> Path:
    """The view classifier, trained here first (ten minutes): it only measures."""
    path = work / "view_classifier.safetensors"
    if not path.is_file():
        command = [sys.executable, "-m", "redream.mini.view_classifier", "--out", str(path)]
        subprocess.run([*command, "--work", str(work / "view_classifier")], check=True)
    return path


def _judge_accuracy(work: Path) -> float:
    """The view classifier's accuracy on renders that it has not seen, from its file."""
    from safetensors import safe_open

    with safe_open(_judge_weights(work), "pt") as file:
        return float(file.metadata()["accuracy"])


def _ceilings(evaluator: Any, prior: Any, num: int = 400) -> dict[str, Any]:  # noqa: ANN401
    """What the judge names right on unseen renders, and on what the autoencoder leaves of them."""
    import numpy as np

    from redream.mini.recognition import recognise
    from redream.mini.world import PictureSampler, all_pairs

    sampler = PictureSampler(30_000, all_pairs(), "uniform")
    samples = [sampler[index] for index in range(num)]
    pairs = [(sample.material, sample.category) for sample in samples]
    stacked = torch.from_numpy(np.stack([sample.picture for sample in samples]))
    pictures = stacked.permute(0, 3, 1, 2) / 255.0
    with torch.no_grad():
        parts = [prior.decode_latents(prior.encode_images(part)) for part in pictures.split(50)]
    restored = torch.cat(parts)
    error = (restored - pictures).square().mean()
    return {
        "renders": vars(recognise(evaluator, pairs, pictures)),
        "restored": vars(recognise(evaluator, pairs, restored)),
        "psnr": float(-10.0 * error.log10()),
    }


def _contact_sheet(pictures: torch.Tensor, path: Path) -> None:
    """Two rows of twelve samples."""
    from redream.export.turntable import write_png

    rows = pictures.unflatten(0, (2, 12)).permute(2, 0, 3, 1, 4)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(rows.flatten(3).flatten(1, 2), path)


def _has_front(category: str) -> bool:
    from redream.mini.categories import CATEGORIES

    return CATEGORIES[category].has_front


def _orientation(encoder: Any) -> dict[str, Any]:  # noqa: ANN401
    """Table 3's success rate on 100 fresh individuals with a front, yaw uniform."""
    import numpy as np

    from redream.assets import align_front, load_mesh
    from redream.metrics import orientation_success
    from redream.mini.captions import CLAY_COLOURS
    from redream.mini.categories import CATEGORIES
    from redream.mini.library import make_clay_scene, scene_to_glb

    rng = np.random.default_rng(20_000)
    fronted = [name for name, category in CATEGORIES.items() if category.has_front]
    truth, found = [], []
    folder = Path(os.environ.get("TMPDIR", "/tmp"))
    for index in range(100):
        category = fronted[index % len(fronted)]
        colour = str(rng.choice(list(CLAY_COLOURS)))
        yaw_deg = float(rng.uniform(0, 360))
        path = folder / f"fresh-{os.getpid()}.glb"
        path.write_bytes(scene_to_glb(make_clay_scene(category, colour, rng), yaw_deg, {}))
        _, orientation = align_front(
            load_mesh(path), f"a {category}", encoder.encode_images, encoder.encode_texts
        )
        path.unlink()
        truth.append(yaw_deg)
        found.append(orientation.yaw_deg)
    return vars(orientation_success(found, truth))


def _adaptation(evaluator: Any, judge: Any, folder: Path, share: slice) -> None:  # noqa: ANN401
    """The "back view" test before and after an adapter saw its 3 retrieved assets."""
    from redream.cameras import VIEW_NAMES
    from redream.export.turntable import write_png
    from redream.method.adaptation import adapt
    from redream.metrics.prior_balance import sample_pictures
    from redream.mini.recognition import obeys_back, recognise
    from redream.tools.lightning import configured

    prompts = [prompt for prompt in PROMPTS if _has_front(prompt.split()[-1])]
    prompts += ["a marble bus", "a wooden knight", "a striped television"]
    for prompt in prompts[:12][share]:
        path = folder / f"{prompt.replace(' ', '_')}.json"
        if path.is_file():
            continue
        made = configured("configs/default.yaml", f"--prompt={prompt}")
        model, data = made.model, made.datamodule
        scale = model.guidance_scale
        data.setup("fit")
        steps = adapt(model.adaptation(data))
        pair = (prompt.split()[1], prompt.split()[2])
        row: dict[str, Any] = {"prompt": prompt, "steps": steps}
        for name, hat in (("raw", None), ("adapted", model.adapter)):
            views = {
                view: sample_pictures(model.prior, [prompt] * 16, scale, 2, hat, view)
                for view in VIEW_NAMES
            }
            seen = recognise(evaluator, [pair] * 48, torch.cat(list(views.values())))
            row[name] = {"back": obeys_back(judge, views["back"]), **vars(seen)}
            told = [judge(views[view]).argmax(1) == i for i, view in enumerate(VIEW_NAMES)]
            row[name]["view"] = float(torch.cat(told).float().mean())
            sheet = torch.stack([views[view][:8] for view in VIEW_NAMES]).permute(2, 0, 3, 1, 4)
            write_png(sheet.flatten(3).flatten(1, 2), path.with_name(f"{path.stem}-{name}.png"))
        _write(path, row)
        print(row, flush=True)


def objects(work: Path, share: slice, extra: list[str]) -> None:
    """Runs the default configuration on each prompt of a share, one process each."""
    for prompt in PROMPTS[share]:
        folder = work / "objects" / prompt.replace(" ", "_")
        if (folder / "run.json").is_file():
            continue
        started = time.monotonic()
        command = [str(Path(sys.executable).with_name("redream")), "fit"]
        command += ["--config", "configs/default.yaml", "--prompt", prompt]
        command += ["--trainer.default_root_dir", str(folder), *extra]
        print(prompt, flush=True)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        _write(folder / "run.json", {"seconds": time.monotonic() - started, "extra": extra})


def table(work: Path, out: Path) -> None:
    """Writes the Markdown page of what was measured."""
    lines = ["# The embedded world, measured", "", "Made by `python benchmarks/mini.py`.", ""]
    if (work / "prior.json").is_file():
        lines += _prior_lines(json.loads((work / "prior.json").read_text()))
    adapted = [json.loads(path.read_text()) for path in sorted(work.glob("adaptation/*.json"))]
    if adapted:
        lines += [*_adaptation_lines(adapted), *_adaptation_picture(work)]
    lines += _object_lines(work)
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _prior_lines(floor: dict[str, Any]) -> list[str]:
    percent = _percent
    seen, held, found = floor["seen"], floor["held_out"], floor["orientation"]
    ceilings = {name: floor["ceilings"][name] for name in ("renders", "restored")}
    rows = [
        *(
            (f"judge on {text}", f"{percent(ceilings[name][key])} of {key}", "")
            for name, text in (("renders", "unseen renders"), ("restored", "autoencoded renders"))
            for key in ("category", "material")
        ),
        ("autoencoder on unseen renders", f"{floor['ceilings']['psnr']:.1f} dB", ""),
        ("right category, seen pairs", percent(seen["category"]), "85%"),
        ("right category, held-out pairs", percent(held["category"]), "70%"),
        ("right material, seen pairs", percent(seen["material"]), "80%"),
        ("right material, held-out pairs", percent(held["material"]), "60%"),
        ("view classifier on unseen renders", f"{100 * floor['judge']:.1f}%", "97%"),
        ('raw prior obeys "back view"', percent(floor["raw_back"]["obeys"]), "at most 50%"),
        (
            "orientation found on 100 fresh assets",
            f"{percent(found['rate'])} [{percent(found['low'])}, {percent(found['high'])}]",
            "90%",
        ),
    ]
    head = [f"## The prior (guidance scale {floor['guidance_scale']:g})", ""]
    head += ["| measure | value | floor |", "|---|---|---|"]
    return [*head, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _adaptation_lines(prompts: list[dict[str, Any]]) -> list[str]:
    percent = _percent
    raw, adapted = (
        {
            key: sum(row[name][key] for row in prompts) / len(prompts)
            for key in ("back", "view", "category", "material")
        }
        for name in ("raw", "adapted")
    )
    rows = [
        ('raw prior obeys "back view"', percent(raw["back"]), ""),
        ('adapted prior obeys "back view"', percent(adapted["back"]), "80%"),
        (
            "shows the view asked for, front, side and back equally often, adapted against raw",
            f"{percent(adapted['view'])} against {percent(raw['view'])}",
            "",
        ),
        (
            "category, adapted against raw",
            f"{percent(adapted['category'])} against {percent(raw['category'])}",
            "within 5 points",
        ),
        (
            "material, adapted against raw",
            f"{percent(adapted['material'])} against {percent(raw['material'])}",
            "within 5 points",
        ),
    ]
    title = f"(the default run's, alone; one adapter for each of {len(prompts)} prompts)"
    head = [f"## Adaptation {title}", ""]
    head += ["| measure | value | floor |", "|---|---|---|"]
    return [*head, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _adaptation_picture(work: Path, num: int = 6) -> list[str]:
    """Raw samples on the left, adapted ones on the right; for each prompt front, side, back."""
    import imageio.v3 as imageio
    import numpy as np

    stems = [path.with_suffix("") for path in sorted(work.glob("adaptation/*.json"))][:num]
    rows = [
        np.concatenate([imageio.imread(f"{stem}-{name}.png") for name in ("raw", "adapted")], 1)
        for stem in stems
    ]
    imageio.imwrite("docs/images/adaptation.jpg", np.concatenate(rows), quality=85)
    names = ", ".join(stem.name.replace("_", " ") for stem in stems)
    text = "Left the raw prior, asked in words, right the adapted one, from the same noise"
    return [
        f"{text}; front, side and back of {names}:",
        "",
        f"![{text}](images/adaptation.jpg)",
        "",
    ]


def _object_lines(work: Path) -> list[str]:
    if not any((work / "objects").glob("*/run.json")):
        return []
    lines = [
        "## The default run",
        "",
        "Rank of the prompt among all captions over 8 azimuths, fronts seen, and how true the GLB "
        "is to the particle's own renders (PSNR in the silhouettes, 32 cameras), per particle.",
        "",
        "| prompt | time | memory | steps | rank | category named | fronts | GLB, dB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ranks, fidelities, num_right, portraits = [], [], 0, []
    for prompt in PROMPTS:
        folder = work / "objects" / prompt.replace(" ", "_")
        if not (folder / "run.json").is_file():
            continue
        run = json.loads((folder / "run.json").read_text())
        metrics = json.loads((folder / "metrics.json").read_text())
        particles = metrics["particles"]
        best = min(range(len(particles)), key=lambda index: float(particles[index]["rank"]))
        frames = _frames(folder / f"turntable_{best}.mp4")
        portraits.append(frames[[len(frames) // 12, len(frames) * 7 // 12]])
        named = _named_category(frames)
        ranks.append(particles[best]["rank"])
        num_right += named == prompt.split()[-1]
        per_particle = [
            ", ".join(f"{particle[key]:.0f}" for particle in particles)
            for key in ("rank", "num_fronts")
        ]
        truth = [model["psnr_db"] for model in metrics["models"]]
        fidelities += truth
        per_particle.append(", ".join(f"{value:.1f}" for value in truth))
        lines.append(
            f"| {prompt} | {run['seconds'] / 60:.1f} min | {metrics['peak_memory_gib']:.1f} GiB "
            f"| {metrics['steps']} | {per_particle[0]} | {named} | {per_particle[1]} "
            f"| {per_particle[2]} |"
        )
    if ranks:
        _gallery(portraits, Path("docs/images/objects.png"))
        lines += [
            "",
            f"Better particle of each prompt: median rank {median(ranks):g} of "
            f"{particles[0]['num_captions']:.0f}, category right for {num_right} of {len(ranks)}; "
            f"GLB, median: {median(fidelities):.1f} dB (floor 24).",
        ]
    return lines


def _frames(film: Path) -> torch.Tensor:
    """The pictures of a turntable film."""
    import imageio.v3 as imageio

    return torch.from_numpy(imageio.imread(film)).permute(0, 3, 1, 2).float() / 255.0


def _gallery(portraits: list[torch.Tensor], path: Path) -> None:
    """A column for each object: above as seen from 30 degrees, below from behind."""
    from redream.export.turntable import write_png

    columns = torch.stack(portraits).permute(2, 1, 3, 0, 4)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(columns.flatten(3).flatten(1, 2), path)


def _named_category(frames: torch.Tensor) -> str:
    """What the evaluation CLIP calls the object of a turntable, over 8 azimuths."""
    from redream.mini.categories import CATEGORIES
    from redream.mini.prepare import embedded_world
    from redream.retrieval import Encoder

    encoder = Encoder(str(embedded_world().evaluation_clip))
    pictures = encoder.encode_images(frames[:: len(frames) // 8][:8]).mean(0)
    names = list(CATEGORIES)
    return names[int((encoder.encode_texts([f"a {name}" for name in names]) @ pictures).argmax())]


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=2), encoding="utf-8")
    os.replace(temporary, path)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=["prior", "adaptation", "objects", "table"])
    parser.add_argument("--work", type=Path, default=Path("outputs/mini"))
    parser.add_argument("--out", type=Path, default=Path("docs/mini.md"))
    parser.add_argument("--share", default="0/1", help="I/N: every N-th prompt from the I-th on")
    arguments, extra = parser.parse_known_args()
    first, step = (int(number) for number in arguments.share.split("/"))
    share = slice(first, None, step)
    if arguments.part in (None, "prior"):
        measure_prior(arguments.work)
    if arguments.part in (None, "adaptation"):
        measure_adaptation(arguments.work, share)
    if arguments.part in (None, "objects"):
        objects(arguments.work, share, extra)
    table(arguments.work, arguments.out)


if __name__ == "__main__":
    main()
