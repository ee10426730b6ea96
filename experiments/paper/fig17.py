"""Fig. 17: ReDream without its initialisation, and without its adaptation, on equal budgets.

``python -m experiments.paper.fig17 --out DIR`` makes the 24 test prompts in three variants, of one
seed, and writes ``DIR/fig17.json`` and its page; ``--quick`` takes 4 prompts. It resumes, as
table1.py does, and with its ``DIR`` takes the whole method's objects from there.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.paper.command_line import (
    add_kept_option,
    add_run_options,
    figure_parser,
    in_one_line,
)
from experiments.paper.record import Part, Record, Table, Text, write_record
from experiments.paper.runs import Run, execute_all
from experiments.paper.table1 import (
    as_numbers,
    comparisons,
    estimates,
    made_at,
    read_objects,
    show,
    show_difference,
    unequal_budgets,
    values_of,
    warning,
)
from experiments.paper.world import HERE, OURS, WORLDS, World, read_prompts


class Variant(NamedTuple):
    """A method's name among the runs, and how it differs from the whole."""

    method: str
    options: tuple[str, ...] = ()
    layers: tuple[Path, ...] = ()


VARIANTS = {
    "whole": Variant(OURS),
    "no initialisation": Variant(f"{OURS}@no_initialisation", ("--model.warmup.steps=0",)),  # Eq. 3
    "no adaptation": Variant(  # Eq. 5
        f"{OURS}@no_adaptation", layers=(HERE / "embedded" / "no_adaptation.yaml",)
    ),
}


def plan(world: World, prompts: Sequence[str], root: Path) -> list[Run]:
    """Every variant of every prompt, prompt by prompt."""
    layers = tuple(world.layers(OURS))
    return [
        Run(variant.method, prompt, 0, layers + variant.layers, variant.options, root)
        for prompt in prompts
        for variant in VARIANTS.values()
    ]


def record(
    world: World, objects: Sequence[Mapping[str, Any]], num_planned: int, quick: bool
) -> Record:
    """The variants, and by how much the whole method is ahead of each."""
    unequal = unequal_budgets(world, objects)
    values = values_of(world, objects)
    table = estimates(world, values)
    rows = []
    for method, name in ((variant.method, name) for name, variant in VARIANTS.items()):
        if method in table:
            cells = [show(table[method].get(m.key), m) for m in world.measures]
            rows.append([name, *cells, str(table[method][world.measures[0].key].num)])
    titles = {measure.key: measure.title for measure in world.measures}
    parts: list[Part] = [warning(unequal)] if unequal else []
    if made_at(objects):
        parts.append(Text(made_at(objects).strip()))
    parts.append(Text("ReDream is Table 1's here, and not the paper to the letter."))
    parts.append(Table(["ReDream", *titles.values(), "prompts"], rows))
    paired = {} if unequal else comparisons(world, values)
    if paired:
        names = {variant.method: name for name, variant in VARIANTS.items()}
        differences = [
            [names[m], titles[key], show_difference(found), f"{found.p:.3f}", f"{adjusted:.3f}"]
            for (m, key), (found, adjusted) in paired.items()
        ]
        parts.append(Text("Whole minus variant, paired by prompt:"))
        parts.append(Table(["variant", "measure", "difference", "p", "p (Holm)"], differences))
    numbers = {"estimates": as_numbers(table), "objects": list(objects)}
    title = "Fig. 17: what initialisation and adaptation do"
    return Record(title, parts, numbers, quick, len(objects), num_planned)


def main() -> int:
    """Makes the variants and writes the page."""
    parser = figure_parser(__doc__, "4 prompts")
    add_run_options(parser)
    add_kept_option(parser)
    arguments = parser.parse_args()
    world, out = WORLDS["embedded"], arguments.out.resolve()
    prompts = read_prompts(world.prompts)[: 4 if arguments.quick else None]
    runs = plan(world, prompts, out / "runs")
    kept = arguments.kept
    failures = [] if arguments.report else execute_all(runs, arguments.processes, kept)
    objects = read_objects(world, runs, kept)
    found = record(world, objects, len(runs), arguments.quick)
    print(write_record(found, out / "fig17.json"))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(in_one_line(main))
