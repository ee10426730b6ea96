"""Measures the embedded world and the default run on it, and writes docs/mini.md.

``python -m benchmarks.mini samples`` measures the prior's samples and the judge, of several priors
side by side where ``--prior NAME=FOLDER`` names them (``mini_samples.py``);
``python -m benchmarks.mini views`` measures which views the prior shows, and orientation;
``python -m benchmarks.mini adaptation`` measures what adaptation teaches, for 12
prompts (finished ones are kept, so it resumes);
``python -m benchmarks.mini objects`` makes 12 objects (finished ones are kept, so it resumes);
``python -m benchmarks.mini table`` writes what is there as Markdown, and keeps the page's other
sections. Without a word: all of it.
``--share 0/2`` and ``--share 1/2`` let two processes take half of the prompts each.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.mini_portraits import write_portraits
from benchmarks.mini_samples import (
    ROUNDS,
    contact_sheet,
    measure_samples,
    sample_lines,
    short_of,
)
from redream.files import whole_file
from redream.mini.prepare import WEIGHTS

PORTRAITS = Path("docs/images/objects.png")
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


def measure_views(work: Path) -> None:
    """Measures which views the prior shows, at the default run's guidance, and orientation."""
    from redream.metrics.prior_balance import sample_pictures
    from redream.mini.prepare import embedded_world
    from redream.mini.recognition import describe, obeys_back
    from redream.mini.view_classifier import ViewClassifier
    from redream.mini.world import seen_pairs
    from redream.retrieval import Encoder
    from redream.tools.lightning import configured

    model = configured("configs/default.yaml").model
    judge = ViewClassifier.load(_judge_weights(work))
    pairs = [pair for pair in seen_pairs() if _has_front(pair[1])] * 2
    pictures = sample_pictures(
        model.prior, [describe(pair) for pair in pairs], model.guidance.last_scale, 1, view="back"
    )
    result: dict[str, Any] = {
        "guidance_scale": model.guidance.last_scale,
        "judge": _judge_accuracy(work),
        "raw_back": {"obeys": obeys_back(judge, pictures), "num": len(pairs)},
        "orientation": _orientation(Encoder(str(embedded_world().retrieval_clip))),
    }
    _write(work / "views.json", result)


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
        scale = model.guidance.last_scale
        data.setup("fit")
        steps = adapt(model.adaptation(data))
        pair = (prompt.split()[1], prompt.split()[2])
        row: dict[str, Any] = {"prompt": prompt, "steps": steps}
        for name, adapter in (("raw", None), ("adapted", model.adapter)):
            views = {
                view: sample_pictures(model.prior, [prompt] * 16, scale, 2, adapter, view)
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
    """Writes the Markdown page of what was measured; its other sections stay as they are."""
    from experiments.paper.provenance import command, commit

    sections = _sections(out.read_text("utf-8")) if out.is_file() else {}
    made = f"Made by `{command()}` at commit {commit()}."
    adapted = [json.loads(path.read_text()) for path in sorted(work.glob("adaptation/*.json"))]
    fresh: dict[str, list[str]] = {
        "The prior's samples": [
            *sample_lines(json.loads((work / "samples.json").read_text("utf-8"))),
            "",
            "Samples of pairs that the prior saw, and of pairs that it never saw:",
            "",
            "![Samples of seen pairs](images/seen.png)",
            "![Samples of held-out pairs](images/held_out.png)",
        ]
        if (work / "samples.json").is_file()
        else [],
        "The prior's views": _view_lines(json.loads((work / "views.json").read_text("utf-8")))
        if (work / "views.json").is_file()
        else [],
        "Adaptation": [*_adaptation_lines(adapted), *_adaptation_picture(work)] if adapted else [],
        "The default run": _object_lines(work),
    }
    for title, lines in fresh.items():
        if lines:
            sections[title] = "\n".join([made, "", *lines])
    order = [title for title in fresh if title in sections]
    parts = [f"## {title}\n\n{sections[title].strip()}\n" for title in order]
    text = "\n".join(["# The embedded world, measured\n", *parts])
    with whole_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _sections(page: str) -> dict[str, str]:
    """The text below each heading of the second level."""
    _, *parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _view_lines(measured: dict[str, Any]) -> list[str]:
    found = measured["orientation"]
    rate = f"{_percent(found['rate'])} [{_percent(found['low'])}, {_percent(found['high'])}]"
    obeys = f'raw prior obeys "back view", guidance {measured["guidance_scale"]:g}'
    return [
        "| measure | value | floor |",
        "|---|---|---|",
        f"| view classifier on unseen renders | {100 * measured['judge']:.1f}% | 97% |",
        f"| {obeys} | {_percent(measured['raw_back']['obeys'])} | at most 50% |",
        f"| orientation found on 100 fresh assets | {rate} | 90% |",
    ]


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
        ('adapted prior obeys "back view"', percent(adapted["back"]), "85%"),
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
    head = [f"The default run's, alone; one adapter for each of {len(prompts)} prompts.", ""]
    head += ["| measure | value | floor |", "|---|---|---|"]
    reached = [(f'"back view" {percent(adapted["back"])} of 85%', adapted["back"] >= 0.85)]
    for key in ("category", "material"):
        lost = 100.0 * (raw[key] - adapted[key])
        reached.append((f"{key}, {lost:.0f} points lost where 5 may be", lost <= 5.0))
    return [*head, *(f"| {' | '.join(row)} |" for row in rows), "", short_of(reached), ""]


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
        "Rank of the prompt among all captions over 8 azimuths, fronts seen, and how true the GLB "
        "is to the particle's own renders (PSNR in the silhouettes, 32 cameras), per particle. The "
        "pattern is the share of 8 azimuths from which the prompt's beats every other.",
        "",
        "| prompt | time | memory | steps | rank | category named | fronts | pattern | GLB, dB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    ranks, fidelities, num_right, portraits = [], [], 0, {}
    patterns, options = [], set()
    for prompt in PROMPTS:
        folder = work / "objects" / prompt.replace(" ", "_")
        if not (folder / "run.json").is_file():
            continue
        run = json.loads((folder / "run.json").read_text())
        metrics = json.loads((folder / "metrics.json").read_text())
        particles = metrics["particles"]
        best = min(range(len(particles)), key=lambda index: float(particles[index]["rank"]))
        frames = _frames(folder / f"turntable_{best}.mp4")
        portraits[prompt] = folder / f"particle_{best}.glb"
        named = _named_category(frames)
        ranks.append(particles[best]["rank"])
        num_right += named == prompt.split()[-1]
        per_particle = [
            ", ".join(f"{particle[key]:.0f}" for particle in particles)
            for key in ("rank", "num_fronts")
        ]
        truth = [model["psnr_db"] for model in metrics["models"]]
        fidelities += truth
        patterns.append(max(particle["pattern_right"] for particle in particles))
        options.add(" ".join(run["extra"]))
        shares = ", ".join(f"{particle['pattern_score']:.2f}" for particle in particles)
        per_particle.append(shares)
        per_particle.append(", ".join(f"{value:.1f}" for value in truth))
        lines.append(
            f"| {prompt} | {run['seconds'] / 60:.1f} min | {metrics['peak_memory_gib']:.1f} GiB "
            f"| {metrics['steps']} | {per_particle[0]} | {named} | {per_particle[1]} "
            f"| {per_particle[2]} | {per_particle[3]} |"
        )
    if ranks:
        write_portraits(_painted(list(portraits)), list(portraits.values()), PORTRAITS)
        lines += [
            "",
            f"Better particle of each prompt: median rank {median(ranks):g} of "
            f"{particles[0]['num_captions']:.0f}, category right for {num_right} of {len(ranks)}; "
            f"pattern right by the mean over azimuths for {patterns.count(1.0)}; GLB, median: "
            f"{median(fidelities):.1f} dB (floor 26, set when the same models read 1 to 3 dB "
            "less: see [export](export.md)).",
        ]
        if len(ranks) < len(PROMPTS):
            lines[-1] += f" {len(PROMPTS) - len(ranks)} of {len(PROMPTS)} prompts are not made yet."
        if any(options):
            lines[-1] += f" Made with {' and '.join(f'`{each}`' for each in sorted(options))}."
    return lines


def _frames(film: Path) -> torch.Tensor:
    """The pictures of a turntable film."""
    import imageio.v3 as imageio

    return torch.from_numpy(imageio.imread(film)).permute(0, 3, 1, 2).float() / 255.0


def _painted(prompts: list[str]) -> torch.Tensor:
    """The raw prior's first sample of each prompt, at the default run's guidance."""
    from redream.metrics.prior_balance import sample_pictures
    from redream.tools.lightning import configured

    model = configured("configs/default.yaml").model
    return torch.cat(
        [sample_pictures(model.prior, [each], model.guidance.last_scale, 0) for each in prompts]
    )


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


def _named_folder(text: str) -> tuple[str, Path]:
    name, separator, folder = text.partition("=")
    if not separator or not Path(folder, "model_index.json").is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER with a diffusers folder")
    return name, Path(folder)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = ["samples", "views", "adaptation", "objects", "table"]
    parser.add_argument("part", nargs="?", choices=parts)
    parser.add_argument(
        "--prior", type=_named_folder, action="append", help="NAME=FOLDER; samples of these, too"
    )
    parser.add_argument("--judge", type=Path, default=WEIGHTS / "evaluation_clip")
    parser.add_argument("--work", type=Path, default=Path("outputs/mini"))
    parser.add_argument("--out", type=Path, default=Path("docs/mini.md"))
    parser.add_argument("--share", default="0/1", help="I/N: every N-th prompt from the I-th on")
    arguments, extra = parser.parse_known_args()
    first, step = (int(number) for number in arguments.share.split("/"))
    share = slice(first, None, step)
    if arguments.part in (None, "samples"):
        priors = dict([*(arguments.prior or []), ("shipped", WEIGHTS / "prior")])
        measure_samples(arguments.work, priors, arguments.judge)
        for split in ROUNDS:
            sheet = contact_sheet(arguments.work, WEIGHTS / "prior", split)
            _contact_sheet(sheet, Path(f"docs/images/{split}.png"))
    if arguments.part in (None, "views"):
        measure_views(arguments.work)
    if arguments.part in (None, "adaptation"):
        measure_adaptation(arguments.work, share)
    if arguments.part in (None, "objects"):
        objects(arguments.work, share, extra)
    table(arguments.work, arguments.out)


if __name__ == "__main__":
    main()
