"""Ways to distil, side by side: equal cameras, equal first noise, equal passes of the network.

``python -m experiments.paper.compare --out DIR --methods redream asd csd --prompts FILE`` lays each
of ``configs/methods/`` over the embedded world's configuration (``redream`` is that configuration
itself, VSD), and what a way needs in that world, of ``experiments/paper/embedded/compare/``, over
both; it writes ``DIR/compare.json``, its page and its pictures. Cameras, backgrounds,
diffusion times and noise are keyed by seed, step and particle, so that all methods see the same
until their budgets end; a pass with gradients counts twice. ``--quick`` takes one prompt and a
sixth of the passes, of which Eq. 5 takes most: it ends within the warm-up, so that it shows that
each way runs, and not what comes of it. ``--page docs/guidance.md`` puts table and pictures there.
It resumes, as table1.py does.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from experiments.paper.command_line import add_run_options, figure_parser, in_one_line
from experiments.paper.pictures import quarter_views, read_film, resized, write_small_png
from experiments.paper.record import (
    Part,
    Picture,
    Record,
    Table,
    Text,
    put_record,
    write_record,
)
from experiments.paper.runs import Run, execute_all
from experiments.paper.table1 import estimates, made_at, read_objects, show, values_of
from experiments.paper.world import HERE, OURS, ROOT, WORLDS, World, read_prompts
from redream.tools.output import labelled_sheet

WAYS = (OURS, "asd", "csd", "sds_bridge", "ism", "sdi", "reuse")
"""What is compared by default: VSD with Eq. 5 as configured, and the published ways beside it."""


def table1_passes(world: World) -> int:
    """Passes of the network that a run of Table 1 has, for which its ramps are made."""
    measured = yaml.safe_load(world.layers(OURS)[-1].read_text("utf-8"))
    *_, budget = measured["trainer"]["callbacks"]
    passes: int = budget["init_args"]["max_passes"]
    return passes


PASSES = table1_passes(WORLDS["embedded"])
"""Passes of the network that a run has."""

_SHOWN, _SIZE = ("clip_score", "r_precision", "num_fronts", "shape_f_score"), 96


def plan(
    world: World,
    methods: Sequence[str],
    prompts: Sequence[str],
    seeds: Sequence[int],
    passes: int,
    root: Path,
) -> list[Run]:
    """A run for each method, prompt and seed, all with the same budget.

    Raises:
        ValueError: If there is no such method.
    """
    layers = {}
    for method in methods:
        overlay = ROOT / "configs" / "methods" / f"{method}.yaml"
        if method != OURS and not overlay.is_file():
            known = sorted(path.stem for path in overlay.parent.glob("*.yaml"))
            raise ValueError(f"there is no method {method!r}; choose from {', '.join(known)}")
        *beneath, measured = world.layers(OURS)
        tuned = HERE / world.name / "compare" / f"{method}.yaml"
        laid = [each for each in (overlay, tuned) if method != OURS and each.is_file()]
        layers[method] = (*beneath, *laid, measured)
    options = (f"--trainer.callbacks.init_args.max_passes={passes}", "--trainer.max_steps=100000")
    return [
        Run(f"{method}@{passes}", prompt, seed, layers[method], options, root)
        for seed in seeds
        for prompt in prompts
        for method in methods
    ]


def record(
    world: World,
    objects: Sequence[Mapping[str, Any]],
    pictures: Sequence[Picture],
    num_planned: int,
    quick: bool,
) -> Record:
    """What each method's objects are worth, and what they took."""
    table = estimates(world, values_of(world, objects))
    measures = [each for each in world.measures if each.key in _SHOWN]
    rows = []
    for method in dict.fromkeys(each["method"] for each in objects):
        mine = [each for each in objects if each["method"] == method]
        spent = [mean(each[key] for each in mine) for key in ("passes", "steps")]
        seconds = mean(each["training_seconds"] for each in mine)
        cells = [show(table.get(method, {}).get(each.key), each) for each in measures]
        per_step = f"{spent[0] / spent[1]:.1f}"
        used = [f"{spent[0]:.0f}", per_step, f"{spent[1]:.0f}", f"{seconds:.0f}", str(len(mine))]
        rows.append([method.partition("@")[0], *cells, *used])
    head = [
        "way", *(each.title for each in measures), "passes", "passes a step", "steps", "seconds",
        "objects",
    ]  # fmt: skip
    about = (
        "Equal cameras, times and first noise at each step, one particle, as many passes of the "
        "network for each (a pass with gradients counts twice), omega with e_psi, warm-up and "
        "correction beside each. 95% intervals over prompts. Seconds are of training, on a machine "
        "that may have had other work."
        f"{made_at(objects)}"
    )
    parts: list[Part] = [Text(about), Table(head, rows), *pictures]
    return Record("Ways to distil", parts, list(objects), quick, len(objects), num_planned)


def sheets(runs: Sequence[Run], out: Path) -> list[Picture]:
    """A picture for each prompt: a row of four sides for each method that is finished."""
    pictures = []
    for prompt in dict.fromkeys(run.prompt for run in runs):
        mine = [run for run in runs if run.prompt == prompt and run.done() is not None]
        films = [read_film(run.folder / "turntable_0.mp4") for run in mine]
        rows = [
            (run.method.partition("@")[0], resized(quarter_views(film), _SIZE))
            for run, film in zip(mine, films, strict=True)
        ]
        if not rows:
            continue
        name = f"compare_{mine[0].folder.name}.png"
        write_small_png(labelled_sheet(rows), out / name)
        pictures.append(Picture(name, f"{prompt}: each way from four sides"))
    return pictures


def main() -> int:
    """Makes the objects and writes the record."""
    parser = figure_parser(__doc__, "one prompt and a sixth of the passes")
    add_run_options(parser)
    parser.add_argument("--methods", nargs="+", default=list(WAYS), help="default: %(default)s")
    parser.add_argument(
        "--prompts", type=Path, help="a file; default: the first three test prompts"
    )
    parser.add_argument("--seeds", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--passes", type=int, default=PASSES, help="default: %(default)s")
    parser.add_argument("--page", type=Path, help="Markdown with a part <!-- compare -->")
    arguments = parser.parse_args()
    out, world = arguments.out.resolve(), WORLDS["embedded"]
    prompts = read_prompts(arguments.prompts or world.prompts)
    prompts = prompts[: 1 if arguments.quick else None if arguments.prompts else 3]
    passes = arguments.passes // 6 if arguments.quick else arguments.passes
    seeds = range(arguments.seeds)
    try:
        runs = plan(world, arguments.methods, prompts, seeds, passes, out / "runs")
    except ValueError as error:
        parser.error(str(error))
    failures = [] if arguments.report else execute_all(runs, arguments.processes)
    objects = read_objects(world, runs)
    pictures = sheets(runs, out)
    page = record(world, objects, pictures, len(runs), arguments.quick)
    print(write_record(page, out / "compare.json"))
    if arguments.page is not None:
        put_record(page, arguments.page, "compare", out)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(in_one_line(main))
