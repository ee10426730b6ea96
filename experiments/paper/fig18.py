"""Fig. 18: one, two and four particles of a prompt, and how diverse they are.

``python -m experiments.paper.fig18 --out DIR`` makes 8 test prompts with a front for K = 1, 2 and
4, as many steps each, and writes ``DIR/fig18.json``, its page and its pictures; ``--quick`` takes
one prompt. It resumes, as table1.py does.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.paper.adapted import evaluator
from experiments.paper.command_line import (
    add_run_options,
    figure_parser,
    fronted_prompts,
    in_one_line,
)
from experiments.paper.pictures import read_film, resized, write_small_png
from experiments.paper.record import Part, Picture, Record, Table, Text, write_record
from experiments.paper.runs import Run, execute_all
from experiments.paper.table1 import show_estimate
from experiments.paper.world import HERE, OURS, WORLDS, World, derive
from redream.metrics.statistics import ANY, SHARE, estimate
from redream.retrieval import Encoder
from redream.tools.output import labelled_sheet

COUNTS = (1, 2, 4)
_NUM_PROMPTS, _SHOWN, _SIZE, _AZIMUTHS = 8, 2, 96, 8


def plan(world: World, prompts: Sequence[str], root: Path) -> dict[tuple[str, int], Run]:
    """A run for each prompt and number of particles, all of the default's steps."""
    layers = (world.config, HERE / world.name / "measure.yaml")
    return {
        (prompt, count): Run(
            f"{OURS}@{count}_particles",
            prompt,
            0,
            layers,
            # measure.yaml's last callback is the budget, which counts passes of all particles
            (f"--model.num_particles={count}", "--trainer.callbacks.init_args.max_passes=null"),
            root,
        )
        for prompt in prompts
        for count in COUNTS
    }


def diversity(pictures: Sequence[Float[Tensor, "A 3 H W"]], encoder: Encoder) -> float | None:
    """One minus the mean cosine of two particles from one side; None of a single particle."""
    seen = [torch.as_tensor(encoder.encode_images(each)) for each in pictures]
    apart = [1.0 - float((a * b).sum(1).mean()) for a, b in combinations(seen, 2)]
    return mean(apart) if apart else None


def measure(run: Run, count: int, encoder: Encoder) -> dict[str, Any]:
    """What a finished run's particles are worth, and how they differ.

    Returns:
        Numbers, and each particle's ``pictures`` from all sides.
    """
    films = [read_film(run.folder / f"turntable_{index}.mp4") for index in range(count)]
    pictures = [film[:: len(film) // _AZIMUTHS][:_AZIMUTHS] for film in films]
    particles = json.loads((run.folder / "metrics.json").read_text("utf-8"))["particles"]
    measures = [derive(each) for each in particles]
    return {
        "clip_score": mean(each["clip_score"] for each in measures),
        "janus": mean(each["janus"] for each in measures),
        "diversity": diversity(pictures, encoder),
        "minutes": run.read()["seconds"] / 60.0,
        "pictures": pictures,
    }


def record(
    measured: Mapping[tuple[str, int], Mapping[str, Any]],
    pictures: Sequence[Picture],
    num_planned: int,
    quick: bool,
) -> Record:
    """Quality and diversity by the number of particles."""
    rows = []
    for count in COUNTS:
        mine = [facts for (_, k), facts in measured.items() if k == count]
        if not mine:
            continue
        score, janus = (
            show_estimate(estimate([facts[key] for facts in mine], bounds), digits)
            for key, digits, bounds in (("clip_score", 3, ANY), ("janus", 2, SHARE))
        )
        apart = [facts["diversity"] for facts in mine if facts["diversity"] is not None]
        shown = show_estimate(estimate(apart), 3) if apart else "-"
        minutes = f"{mean(facts['minutes'] for facts in mine):.1f}"
        rows.append([str(count), shown, score, janus, minutes, str(len(mine))])
    about = (
        "As many steps for every number of particles, each updated in every step. Diversity is one "
        "minus the mean cosine of two particles from the same side, as the evaluation CLIP sees "
        "them; 95% intervals over prompts. Particle i starts toward asset i mod 3."
    )
    head = ["K", "diversity", "CLIP score", "two or more fronts", "minutes", "prompts"]
    numbers = [
        {"prompt": prompt, "K": count, **{k: v for k, v in facts.items() if k != "pictures"}}
        for (prompt, count), facts in measured.items()
    ]
    title = "Fig. 18: the number of particles"
    parts: list[Part] = [Text(about), Table(head, rows), *pictures]
    return Record(title, parts, numbers, quick, len(measured), num_planned)


def rows_of(
    measured: Mapping[tuple[str, int], Mapping[str, Any]],
) -> list[tuple[str, Float[Tensor, "B 3 H W"]]]:
    """Every particle of the first prompts, two sides each, a row for each K."""
    shown = list(dict.fromkeys(prompt for prompt, _ in measured))[:_SHOWN]
    return [
        (
            f"{prompt}, K = {count}: each from the front and from behind",
            resized(torch.cat([each[[0, _AZIMUTHS // 2]] for each in facts["pictures"]]), _SIZE),
        )
        for (prompt, count), facts in measured.items()
        if prompt in shown
    ]


def main() -> int:
    """Makes the particles and writes the record."""
    parser = figure_parser(__doc__, "one prompt")
    add_run_options(parser)
    arguments = parser.parse_args()
    out, world = arguments.out.resolve(), WORLDS["embedded"]
    prompts = fronted_prompts(world, 1 if arguments.quick else _NUM_PROMPTS)
    runs = plan(world, prompts, out / "runs")
    failures = [] if arguments.report else execute_all([*runs.values()], arguments.processes)
    encoder = evaluator()
    measured = {
        key: measure(run, key[1], encoder) for key, run in runs.items() if run.done() is not None
    }
    shown = []
    if measured:
        write_small_png(labelled_sheet(rows_of(measured)), out / "fig18.png")
        shown.append(Picture("fig18.png", "Fig. 18: K particles of a prompt."))
    found = record(measured, shown, len(runs), arguments.quick)
    print(write_record(found, out / "fig18.json"))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(in_one_line(main))
