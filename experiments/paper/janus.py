"""Does evidence from the assets' views suppress second faces, and at what price?

``python -m experiments.paper.janus --out DIR`` makes 24 prompts x 2 seeds with ReDream,
ProlificDreamer (VSD) and ASD on the embedded world, each as it is, with
``configs/methods/uniform_poses.yaml`` (``even``) and with its form without a gradient (``doubt``):
432 objects, about 30 hours on 2 cores. It writes ``DIR/janus.json``, its page and its pictures, and
with ``--page docs/janus.md`` the measured part of that page. ``--methods``, ``--forms``,
``--prompts``, ``--num_prompts`` and ``--seeds`` take a part. It resumes, and shares the objects
that table1.py has made in the same folder. Prompts whose object has a front come first.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from jaxtyping import Float
from torch import Tensor

from experiments.paper.command_line import add_run_options, figure_parser, in_one_line
from experiments.paper.pictures import read_film, resized, write_small_png
from experiments.paper.record import Part, Picture, Record, Table, Text, write_record
from experiments.paper.results import section
from experiments.paper.runs import Run, execute_all
from experiments.paper.table1 import (
    INTERVALS,
    estimates,
    made_at,
    read_objects,
    show,
    show_difference,
    unequal_budgets,
    values_of,
    warning,
)
from experiments.paper.world import METHODS, OURS, ROOT, WORLDS, Measure, World, read_prompts
from redream.files import whole_file
from redream.metrics.statistics import FEWEST, cluster_means, compare_paired, holm, winner
from redream.tools.output import labelled_sheet

WAYS = (OURS, "prolificdreamer", "asd")
AS_IT_IS, EVEN, DOUBT = "as it is", "even", "doubt"
FORMS: Mapping[str, tuple[str, ...]] = {
    EVEN: (),
    DOUBT: (
        "--model.poses.weight={start: 0.0, end: 0.0}",
        "--model.poses.doubt={start: 1.0, end: 1.0}",
    ),
}
"""What is laid over a method, as options after ``configs/methods/uniform_poses.yaml``."""

MEASURED = "## Measured"
"""The heading of a page from which on this command writes it."""

_OVERLAY = ROOT / "configs" / "methods" / "uniform_poses.yaml"
_KEYS = ("num_fronts", "janus", "faceless", "shape_f_score", "clip_score")
_EDGES = Measure("edges", "edges ↑ (blur lowers them)", 1)
_NUM_VIEWS, _SIZE, _MOST_PICTURES = 8, 80, 8


def world_of(world: World) -> World:
    """The world with the measures that this asks for."""
    by_key = {measure.key: measure for measure in world.measures}
    return replace(world, measures=(*(by_key[key] for key in _KEYS), _EDGES))


def plan(
    world: World,
    methods: Sequence[str],
    forms: Sequence[str],
    prompts: Sequence[str],
    seeds: Sequence[int],
    root: Path,
) -> list[Run]:
    """All runs, prompts with a front first; each method as it is beside each of its forms."""
    ordered = sorted(prompts, key=lambda prompt: not world.has_front(prompt))
    runs = []
    for seed in seeds:
        for prompt in ordered:
            for method in methods:
                layers = tuple(world.layers(method))
                runs.append(Run(method, prompt, seed, layers, (), root))
                runs += [
                    Run(
                        f"{method}@{form}",
                        prompt,
                        seed,
                        (*layers[:-1], _OVERLAY, layers[-1]),
                        FORMS[form],
                        root,
                    )
                    for form in forms
                ]
    return runs


def edges(film: Float[Tensor, "B 3 H W"]) -> float:
    """Mean absolute difference of neighbouring pixels of a film: what blur takes away."""
    across, down = film.diff(dim=3).abs().mean(), film.diff(dim=2).abs().mean()
    return float(across + down) / 2.0


def read(world: World, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What is known of the finished objects, their edges included."""
    finished = [run for run in runs if run.done() is not None]
    objects = read_objects(world, finished)
    for run, each in zip(finished, objects, strict=True):
        each["measures"]["edges"] = edges(read_film(run.folder / "turntable_0.mp4"))
    return objects


def record(
    world: World,
    objects: Sequence[Mapping[str, Any]],
    pictures: Sequence[Picture],
    num_planned: int,
    quick: bool,
) -> Record:
    """The table, the verdicts, and films."""
    values, parts = values_of(world, objects), list[Part]()
    unequal = unequal_budgets(world, objects)
    num_prompts = len({each["prompt"] for each in objects})
    about = (
        f"{num_prompts} prompt(s), {len({each['seed'] for each in objects})} seed(s), one particle "
        "each, equal passes of the network for all. *even* is configs/methods/uniform_poses.yaml "
        "over the method, *doubt* its form without a gradient. Means over prompts, in brackets 95% "
        f"intervals ({INTERVALS}). Fronts are counted by the embedded evaluation CLIP, which the "
        "classifier of poses has not seen; seconds are of training, on a machine that had other "
        f"work.{made_at(objects)}"
    )
    parts += [*([warning(unequal)] if unequal else []), Text(about)]
    head = ["method", "form", *(each.title for each in world.measures), "passes", "seconds",
            "objects"]  # fmt: skip
    table, rows = estimates(world, values), []
    for name in dict.fromkeys(each["method"] for each in objects):
        mine = [each for each in objects if each["method"] == name]
        method, _, form = name.partition("@")
        cells = [show(table.get(name, {}).get(each.key), each) for each in world.measures]
        spent = [
            f"{mean(each[key] for each in mine):.0f}" for key in ("passes", "training_seconds")
        ]
        rows.append([METHODS[method], form or AS_IT_IS, *cells, *spent, str(len(mine))])
    parts.append(Table(head, rows))
    if not unequal:
        parts += compared(world, values)
    parts += pictures
    title = "With and without evidence of poses"
    return Record(title, parts, {"objects": list(objects)}, quick, len(objects), num_planned)


def compared(world: World, values: Mapping[str, Mapping[str, Any]]) -> list[Part]:
    """Each form minus the method as it is, paired by prompt, with Holm's p over all rows."""
    found = []
    for name in values:
        method, _, form = name.partition("@")
        for measure in world.measures if form and method in values else ():
            mine, theirs = (values[each].get(measure.key, {}) for each in (name, method))
            common = sorted(mine.keys() & theirs.keys())
            if common and measure.better:
                first, second = (
                    cluster_means({key: each[key] for key in common}) for each in (mine, theirs)
                )
                found.append((method, form, measure, compare_paired(first, second, measure.bounds)))
    if not found:
        return []
    rows = []
    for (method, form, measure, difference), p in zip(
        found, holm([each[3].p for each in found]), strict=True
    ):
        larger, smaller = ("better", "worse")[:: measure.better]
        verdict = winner(difference, p, larger, smaller)
        rows.append(
            [METHODS[method], form, measure.title, show_difference(difference)]
            + [f"{difference.p:.3f}", f"{p:.3f}", verdict, str(difference.num)]
        )
    about = (
        "The form minus the method as it is, on the same prompts and seeds, with 95% intervals; p "
        "of a two-sided sign-flip test over prompts, and after Holm's adjustment for all rows, by "
        f"which a difference is decided; fewer than {FEWEST} prompts cannot decide."
    )
    head = ["method", "form", "measure", "difference", "p", "p (Holm)", "verdict", "prompts"]
    return [Text(about), Table(head, rows)]


def sheets(world: World, runs: Sequence[Run], out: Path) -> list[Picture]:
    """Films as rows of views, those first whose number of fronts a form has changed."""
    shown = []
    for plain in (run for run in runs if "@" not in run.method and run.done() is not None):
        forms = [
            run
            for run in runs
            if run.method.startswith(f"{plain.method}@")
            and (run.prompt, run.seed) == (plain.prompt, plain.seed)
            and run.done() is not None
        ]
        fronts = [run.read()["measures"].get("num_fronts") for run in (plain, *forms)]
        if forms and world.has_front(plain.prompt):
            shown.append((len(set(fronts)) == 1, plain, forms, fronts))
    pictures = []
    for _, plain, forms, fronts in sorted(shown, key=lambda each: each[0])[:_MOST_PICTURES]:
        rows = []
        for run, num in zip((plain, *forms), fronts, strict=True):
            film = read_film(run.folder / "turntable_0.mp4")
            stride = len(film) // _NUM_VIEWS
            form = run.method.partition("@")[2] or AS_IT_IS
            label = f"{METHODS[plain.method]}, {form}: {num:.0f} front(s)"
            rows.append((label, resized(film[::stride][:_NUM_VIEWS], _SIZE)))
        name = f"janus_{plain.method}_{plain.folder.name}.png"
        write_small_png(labelled_sheet(rows), out / name)
        shows = (
            f"{plain.prompt}, {METHODS[plain.method]}, seed {plain.seed}: all around, front first"
        )
        pictures.append(Picture(name, shows))
    return pictures


def write_page(page: Path, found: Path) -> None:
    """Puts the record into the page in the place of its measured part.

    Args:
        page: A Markdown page with the heading ``## Measured``; what is before it stays.
        found: The record.

    Raises:
        ValueError: If the page has no such heading, or the record no commit.
    """
    text = page.read_text("utf-8")
    if f"\n{MEASURED}\n" not in text:
        raise ValueError(f"{page} has no heading {MEASURED!r}, from which on it is written")
    measured = section(found, page.parent, "images/janus").partition("\n")[2].strip()
    head = text.partition(f"\n{MEASURED}\n")[0]
    with whole_file(page) as temporary:
        temporary.write_text(f"{head}\n{MEASURED}\n\n{measured}\n", encoding="utf-8")


def main() -> int:
    """Makes the objects and writes the record."""
    parser = figure_parser(__doc__, "2 prompts, 1 seed")
    add_run_options(parser)
    parser.add_argument("--methods", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--forms", nargs="+", choices=list(FORMS), default=list(FORMS))
    parser.add_argument("--prompts", type=Path, help="other prompts, one a line")
    parser.add_argument("--num_prompts", type=int, help="the first so many; default: all")
    parser.add_argument("--seeds", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--page", type=Path, help="a page whose measured part is written anew")
    arguments = parser.parse_args()
    out, world = arguments.out.resolve(), world_of(WORLDS["embedded"])
    try:
        prompts = read_prompts(arguments.prompts or world.prompts)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    prompts = sorted(prompts, key=lambda prompt: not world.has_front(prompt))
    prompts = prompts[: 2 if arguments.quick else arguments.num_prompts]
    seeds = range(1 if arguments.quick else arguments.seeds)
    runs = plan(world, arguments.methods, arguments.forms, prompts, seeds, out / "runs")
    failures = [] if arguments.report else execute_all(runs, arguments.processes)
    objects = read(world, runs)
    if not objects:
        parser.error(f"no object is finished in {out}: leave --report out to make them")
    pictures = sheets(world, runs, out)
    found = record(world, objects, pictures, len(runs), arguments.quick)
    print(write_record(found, out / "janus.json"))
    if arguments.page is not None:
        try:
            write_page(arguments.page, out / "janus.json")
        except (OSError, ValueError) as error:
            parser.error(str(error))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(in_one_line(main))
