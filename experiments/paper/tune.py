"""Tunes the methods of Table 1 equally: as many variants each, on prompts that are not the table's.

``python -m experiments.paper.tune --out DIR`` makes the variants of ``embedded/tuning.yaml`` on the
12 tuning prompts and writes ``DIR/tuning.md``; the best by CLIP score is marked, and belongs into
``embedded/METHOD.yaml``, which these runs are then no longer of: their record is of the commit
before. ``--quick`` takes 3 prompts. It resumes, as table1.py does; ``--report``
only writes the page of what is there.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from experiments.paper.command_line import in_one_line
from experiments.paper.record import Record, Table, Text, write_record
from experiments.paper.runs import Run, execute_all
from experiments.paper.table1 import as_numbers, estimates, made_at, read_objects, show, values_of
from experiments.paper.world import HERE, WORLDS, World, read_prompts

Variants = Mapping[str, Mapping[str, Mapping[str, Any]]]


def read_variants(path: Path) -> Variants:
    """The variants of each method.

    Raises:
        ValueError: If one method has more of them than another.
    """
    variants: Variants = yaml.safe_load(path.read_text("utf-8"))
    counts = {method: len(each) for method, each in variants.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"each method needs as many variants as the others, {path} has {counts}")
    return variants


def plan(world: World, variants: Variants, prompts: Sequence[str], root: Path) -> list[Run]:
    """Every variant on every prompt, prompt by prompt."""
    return [
        Run(
            f"{method}@{name}",
            prompt,
            0,
            tuple(world.layers(method)),
            tuple(f"--{key}={value}" for key, value in options.items()),
            root,
        )
        for prompt in prompts
        for method, named in variants.items()
        for name, options in named.items()
    ]


def record(
    world: World, objects: Sequence[Mapping[str, Any]], num_planned: int, quick: bool
) -> Record:
    """What each variant reached, the best of each method marked."""
    table = estimates(world, values_of(world, objects))
    rows = []
    for method in dict.fromkeys(name.partition("@")[0] for name in table):
        mine = {name: row for name, row in table.items() if name.partition("@")[0] == method}
        best = max(mine, key=lambda name: mine[name][world.measures[0].key].mean)
        for name, row in mine.items():
            cells = [show(row.get(measure.key), measure) for measure in world.measures]
            shown = f"**{name}**" if name == best else name
            rows.append([shown, *cells, str(row[world.measures[0].key].num)])
    head = ["variant", *(measure.title for measure in world.measures), "prompts"]
    numbers = {"estimates": as_numbers(table), "objects": list(objects)}
    title = "Tuning for Table 1"
    about = f"The best of each method by {world.measures[0].title} is bold.{made_at(objects)}"
    return Record(
        title, [Text(about), Table(head, rows)], numbers, quick, len(objects), num_planned
    )


def main() -> int:
    """Makes the variants and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and the page")
    parser.add_argument("--quick", action="store_true", help="3 prompts")
    parser.add_argument("--report", action="store_true", help="only write what is there")
    parser.add_argument("--methods", nargs="+", help="only these")
    parser.add_argument("--processes", type=int, default=1, help="default: %(default)s")
    arguments = parser.parse_args()
    world, out = WORLDS["embedded"], arguments.out.resolve()
    assert world.tuning is not None
    variants = read_variants(HERE / world.name / "tuning.yaml")
    if arguments.methods:
        variants = {method: variants[method] for method in arguments.methods}
    variants = {method: each for method, each in variants.items() if world.ready(method)}
    prompts = read_prompts(world.tuning)[: 3 if arguments.quick else None]
    runs = plan(world, variants, prompts, out / "runs")
    failures = [] if arguments.report else execute_all(runs, arguments.processes)
    objects = read_objects(world, runs)
    found = record(world, objects, len(runs), arguments.quick)
    print(write_record(found, out / "tuning.json"))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(in_one_line(main))
