"""Table 1: DreamFusion, ProlificDreamer and ReDream on the same prompts, seeds and budget.

``python -m experiments.paper.table1 --out DIR`` makes 24 prompts x 2 seeds x 6 methods on the
embedded world, about 7 hours on 2 cores, and writes ``DIR/table1.md``, ``table1.csv`` (the table)
and ``objects.csv`` (a line for each object). The world's own objects stand in a row of their own,
and the table names the command that makes MVDream's network where it is missing. ``--quick`` takes
4 prompts and 1 seed, half an hour: indicative. Finished objects are kept, so the command resumes;
start it as often as there are machines' cores, or with ``--processes N``. ``--report`` only writes
the tables of what is there. ``--world real`` is the paper's own setting: Stable Diffusion,
Objaverse, the real CLIPs.
"""

import argparse
import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from experiments.paper.command_line import add_kept_option, add_run_options, in_one_line
from experiments.paper.kept import NOTHING, Key
from experiments.paper.provenance import commit
from experiments.paper.record import Part, Record, Table, Text, write_record
from experiments.paper.runs import Run, execute_all
from experiments.paper.world import (
    METHODS,
    OURS,
    WORLDS,
    Measure,
    World,
    derive,
    read_prompts,
)
from redream.files import whole_file
from redream.metrics.statistics import (
    FEWEST,
    Comparison,
    Estimate,
    cluster_means,
    compare_paired,
    estimate,
    holm,
    winner,
)

TRUTH = "truth"
INTERVALS = "BCa bootstrap, Student's below 12 prompts, within what the measure can be"
Values = dict[str, dict[str, dict[tuple[str, int], float]]]
"""A number by method, measure, and (prompt, seed)."""


def plan(
    world: World,
    methods: Iterable[str],
    prompts: Iterable[str],
    seeds: Iterable[int],
    root: Path,
    options: Sequence[str] = (),
) -> list[Run]:
    """All runs, prompt by prompt, so that what is there early can be compared."""
    return [
        Run(method, prompt, seed, tuple(world.layers(method)), tuple(options), root)
        for seed in seeds
        for prompt in prompts
        for method in methods
    ]


def read_objects(
    world: World, runs: Iterable[Run], kept: Mapping[Key, dict[str, Any]] = NOTHING
) -> list[dict[str, Any]]:
    """What is known of the objects that are finished, here or, if they are kept, elsewhere."""
    objects = []
    for run in runs:
        if run.done() is None:
            if run.key in kept:
                objects.append(kept[run.key])
            continue
        each = run.read()
        if world.measure_model is not None:
            each["measures"] |= world.measure_model(run.prompt, run.folder / "particle_0.glb")
        objects.append(each)
    return objects


def true_objects(world: World, objects: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What objects that are as they should be score, for the prompts of these objects."""
    if world.truth is None:
        return []
    asked = dict.fromkeys((each["prompt"], each["seed"]) for each in objects)
    measured = {(prompt, seed): world.truth(prompt, seed) for prompt, seed in asked}
    return [
        {"method": TRUTH, "prompt": prompt, "seed": seed, "measures": measures}
        for (prompt, seed), measures in measured.items()
        if measures
    ]


def values_of(world: World, objects: Iterable[Mapping[str, Any]]) -> Values:
    """Sorts the objects' measures; those that a prompt's object cannot have are left out."""
    values: Values = {}
    for each in objects:
        measures = derive(each["measures"])
        for measure in world.measures:
            if measure.key not in measures or (
                measure.fronted and not world.has_front(each["prompt"])
            ):
                continue
            cells = values.setdefault(each["method"], {}).setdefault(measure.key, {})
            cells[each["prompt"], each["seed"]] = measures[measure.key]
    return values


def estimates(world: World, values: Values) -> dict[str, dict[str, Estimate]]:
    """Each method's mean over prompts, by measure, with its interval."""
    return {
        method: {
            measure.key: estimate(list(cluster_means(cells[measure.key]).values()), measure.bounds)
            for measure in world.measures
            if cells.get(measure.key)
        }
        for method, cells in values.items()
    }


def comparisons(
    world: World, values: Values, ours: str = OURS
) -> dict[tuple[str, str], tuple[Comparison, float]]:
    """Ours against each other method, by (method, measure), with Holm's p over all of them."""
    paired: dict[tuple[str, str], Comparison] = {}
    for method in values:
        for measure in world.measures if method != ours and ours in values else ():
            mine, theirs = (values[m].get(measure.key, {}) for m in (ours, method))
            common = mine.keys() & theirs.keys()  # the same prompts and the same seeds
            if common and measure.better:
                paired[method, measure.key] = compare_paired(
                    cluster_means({key: mine[key] for key in sorted(common)}),
                    cluster_means({key: theirs[key] for key in sorted(common)}),
                    measure.bounds,
                )
    adjusted = holm([each.p for each in paired.values()])
    return dict(zip(paired, zip(paired.values(), adjusted, strict=True), strict=True))


def unequal_budgets(world: World, objects: Sequence[Mapping[str, Any]]) -> str:
    """Says by how much the methods differ in how often they asked the prior; empty if they do not.

    They differ where their mean numbers of passes do by more than the world allows.
    """
    if world.pass_tolerance is None or not objects:
        return ""
    spent = {
        method: mean(each["passes"] for each in objects if each["method"] == method)
        for method in {each["method"] for each in objects}
    }
    if max(spent.values()) <= (1.0 + world.pass_tolerance) * min(spent.values()):
        return ""
    return ", ".join(f"{method} {num:.0f}" for method, num in sorted(spent.items()))


def record(
    world: World,
    objects: Sequence[Mapping[str, Any]],
    num_planned: int,
    quick: bool,
    truth: Sequence[Mapping[str, Any]] = (),
) -> Record:
    """The table, with what a reader needs to trust or doubt it."""
    values = values_of(world, objects)
    table = estimates(world, values)
    unequal = unequal_budgets(world, objects)
    num_prompts = len({each["prompt"] for each in objects})
    num_seeds = len({each["seed"] for each in objects})
    parts: list[Part] = [warning(unequal)] if unequal else []
    about = (
        f"{num_prompts} prompts, {num_seeds} seed(s), one particle each, measured over 120 views. "
        "Means over prompts, in brackets 95% intervals over prompts (seeds of a prompt are "
        f"averaged first; {INTERVALS}). A pass is one noisy picture through the network, forward "
        "or backward. Fronts are counted for prompts whose object has one."
        f"{world.caveat}{made_at(objects)}"
    )
    columns = [measure.title for measure in world.measures]
    head = ["method", *columns, "passes", "steps", "minutes (mean, most)", "prompts, objects"]
    rows = []
    for method in world.methods:
        name = METHODS[method]
        mine = [each for each in objects if each["method"] == method]
        cells = [show(table.get(method, {}).get(m.key), m) for m in world.measures]
        lacks = world.what_lacks(method)
        none = f"missing: run `{lacks}` first" if lacks else "no object yet"
        rows.append([name, *cells, *(_spent(mine) if mine else [none, *"---"])])
    if truth:
        best = estimates(world, values_of(world, truth))[TRUTH]
        cells = [show(best.get(m.key), m) for m in world.measures]
        rows.append(["*the world's own objects*", *cells, *"---", f"{num_prompts}, {len(truth)}"])
    parts += [Text(about), Table(head, rows), *([] if unequal else _compared(world, values))]
    numbers = {
        "estimates": as_numbers(table),
        "objects": list(objects),
        "truth": list(truth),
    }
    title = f"Table 1 on the {world.name} world"
    return Record(title, parts, numbers, quick, len(objects), num_planned)


def made_at(objects: Iterable[Mapping[str, Any]]) -> str:
    """Says at which commits objects were made, where that is not the record's own."""
    commits = sorted({each["commit"] for each in objects})
    return "" if commits == [commit()] else f" The objects were made at {', '.join(commits)}."


def warning(unequal: str) -> Text:
    """What stands in the place of comparisons between unequal budgets."""
    return Text(f"**Unequal numbers of passes: {unequal}. Nothing is compared.**")


def as_numbers(table: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
    """Estimates for a record."""
    return {
        name: {key: estimate._asdict() for key, estimate in row.items()}
        for name, row in table.items()
    }


def _spent(objects: Sequence[Mapping[str, Any]]) -> list[str]:
    minutes = [each["seconds"] / 60.0 for each in objects]
    return [
        f"{mean(each['passes'] for each in objects):.0f}",
        f"{mean(each['steps'] for each in objects):.0f}",
        f"{mean(minutes):.1f}, {max(minutes):.1f}",
        f"{len({each['prompt'] for each in objects})}, {len(objects)}",
    ]


def _compared(world: World, values: Values) -> list[Part]:
    paired = comparisons(world, values)
    if not paired:
        return []
    about = (
        f"{METHODS[OURS]} minus the other method on the same prompts and seeds, with 95% "
        "intervals; p of a two-sided sign-flip test over prompts, and after Holm's adjustment for "
        f"all rows, by which a difference is decided; fewer than {FEWEST} prompts cannot decide."
    )
    by_key = {measure.key: measure for measure in world.measures}
    rows = []
    for (method, key), (found, adjusted) in paired.items():
        first, second = (METHODS[OURS], METHODS[method])[:: by_key[key].better]
        rows.append(
            [
                METHODS[method],
                by_key[key].title,
                show_difference(found),
                winner(found, adjusted, first, second),
                f"{found.p:.3f}",
                f"{adjusted:.3f}",
                str(found.num),
            ]
        )
    head = ["against", "measure", "difference", "better", "p", "p (Holm)", "prompts"]
    return [Text(about), Table(head, rows)]


def show_difference(found: Comparison) -> str:
    """A difference with its interval; one pair has none."""
    if found.num == 1:
        return f"{found.difference:+.3f}"
    return f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def show(estimate: Estimate | None, measure: Measure) -> str:
    """A cell of the table."""
    if estimate is None:
        return "-"
    return show_estimate(estimate, digits=2 if measure.fronted else 3)


def show_estimate(estimate: Estimate, digits: int = 2) -> str:
    """A mean with its interval; one value has none."""
    if estimate.num == 1:
        return f"{estimate.mean:.{digits}f}"
    low, high = (f"{end:.{digits}f}" for end in (estimate.low, estimate.high))
    return f"{estimate.mean:.{digits}f} [{low}, {high}]"


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows with the union of their columns, whole or not at all."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def write_tables(
    world: World,
    runs: Sequence[Run],
    out: Path,
    quick: bool,
    kept: Mapping[Key, dict[str, Any]] = NOTHING,
) -> str:
    """Writes the record, its page and both CSV files of the runs that are finished.

    Returns:
        The page.

    Raises:
        ValueError: If nothing is finished.
    """
    objects = read_objects(world, runs, kept)
    if not objects:
        raise ValueError(f"no object is finished in {out}: leave --report out to make them")
    flat = [
        {k: v for k, v in each.items() if k != "measures"} | derive(each["measures"])
        for each in objects
    ]
    write_csv(out / "objects.csv", flat)
    table = [
        {"method": method, "measure": key, **estimate._asdict()}
        for method, row in estimates(world, values_of(world, objects)).items()
        for key, estimate in row.items()
    ]
    write_csv(out / "table1.csv", table)
    found = record(world, objects, len(runs), quick, true_objects(world, objects))
    return write_record(found, out / "table1.json")


def main() -> int:
    """Makes the objects and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and tables")
    parser.add_argument("--world", choices=WORLDS, default="embedded")
    parser.add_argument("--quick", action="store_true", help="4 prompts, 1 seed: indicative")
    parser.add_argument("--prompts", type=Path, help="other prompts, one a line")
    parser.add_argument("--seeds", type=int, default=2, help="default: %(default)s")
    add_run_options(parser)
    add_kept_option(parser)
    parser.add_argument(
        "options", nargs="*", help="after --: options of `redream fit` for every method"
    )
    arguments = parser.parse_args()
    world = WORLDS[arguments.world]
    prompts = read_prompts(arguments.prompts or world.prompts)
    seeds = range(1 if arguments.quick else arguments.seeds)
    out = arguments.out.resolve()
    prompts = prompts[:4] if arguments.quick else prompts
    kept = arguments.kept
    runs = plan(world, world.methods, prompts, seeds, out / "runs", arguments.options)
    able = [run for run in runs if world.ready(run.method)]
    failures = [] if arguments.report else execute_all(able, arguments.processes, kept)
    print(write_tables(world, runs, out, arguments.quick, kept))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(in_one_line(main))
