"""Fewer two-faced objects? Asked again, on prompts that nothing was chosen or looked at on.

Table 1 asks some thirty claims of the same prompts, so that one of them has to be very sure. Those
of two-faced objects, which the paper is about, it leaves undecided. Here these alone are asked, of
20 prompts whose objects have a front and that stand in no other file of ``prompts/``. Claims,
prompts, seed and test were committed before the first of these objects was made, and nothing is
decided before all are.

``python -m experiments.paper.fresh --out DIR`` makes them, about 3 CPU hours, and writes
``DIR/fresh.json`` and its page; ``--quick`` takes 4 prompts. It resumes, as table1.py does.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from experiments.paper.command_line import (
    add_kept_option,
    add_run_options,
    figure_parser,
    in_one_line,
)
from experiments.paper.galleries import views
from experiments.paper.pictures import write_small_png
from experiments.paper.record import Part, Picture, Record, Table, Text, write_record
from experiments.paper.runs import Run, execute_all
from experiments.paper.table1 import (
    as_numbers,
    estimates,
    made_at,
    plan,
    read_objects,
    show,
    show_difference,
    unequal_budgets,
    values_of,
    warning,
)
from experiments.paper.world import METHODS, OURS, ROOT, WORLDS, World, read_prompts
from redream.metrics.statistics import (
    SHARE,
    Comparison,
    cluster_means,
    compare_paired,
    holm,
    winner,
)
from redream.tools.output import labelled_sheet

PROMPTS = ROOT / "prompts" / "embedded_fresh.txt"
AGAINST = ("dreamfusion", "prolificdreamer")
_SIZE, _A_SHEET = 64, 5
MEASURE = "janus"  # whether an object shows two fronts or more
TITLE = "Fewer two-faced objects, asked again on fresh prompts"


def compared(world: World, objects: Sequence[Mapping[str, Any]]) -> dict[str, Comparison]:
    """Ours against each baseline, in the share of objects with two fronts or more."""
    values = values_of(world, objects)
    by_prompt = {
        method: cluster_means(values[method][MEASURE])
        for method in (OURS, *AGAINST)
        if method in values
    }
    return {
        method: compare_paired(by_prompt[OURS], by_prompt[method], SHARE)
        for method in AGAINST
        if OURS in by_prompt and by_prompt[OURS].keys() & by_prompt.get(method, {}).keys()
    }


def verdict_rows(found: Mapping[str, Comparison], finished: bool) -> list[list[str]]:
    """A row for each claim, with p adjusted by Holm for these alone.

    Args:
        found: What :func:`compared` gives.
        finished: Whether all objects are made; before, nothing is decided.
    """
    adjusted = holm([each.p for each in found.values()])
    rows = []
    for (method, each), p in zip(found.items(), adjusted, strict=True):
        name = METHODS[method]
        decision = winner(each, p, "**does not hold**", "**holds**") if finished else "unfinished"
        rows.append(
            [
                f"{METHODS[OURS]} has fewer objects with two fronts than {name}",
                show_difference(each),
                f"{each.p:.4f}",
                f"{p:.4f}",
                str(each.num),
                decision,
            ]
        )
    return rows


def sheet(runs: Sequence[Run], out: Path) -> list[Picture]:
    """Draws the objects that are finished here, four sides of each method's in a row a prompt.

    Args:
        runs: As :func:`planned` gives them.
        out: Where the picture is written.
    """
    by_prompt: dict[str, list[Run]] = {}
    for run in runs:
        if run.done() is not None:
            by_prompt.setdefault(run.prompt, []).append(run)
    rows = []
    for prompt, mine in by_prompt.items():
        if len(mine) == len(AGAINST) + 1:
            counted = ", ".join(f"{run.read()['measures']['num_fronts']:.0f}" for run in mine)
            rows.append((f"{prompt}: {counted}", torch.cat([views(run, _SIZE) for run in mine])))
    names = ", ".join(METHODS[method] for method in (*AGAINST, OURS))
    shows = f"Four sides of each: {names}; fronts counted, in this order, stand above each row."
    pictures = []
    for number, start in enumerate(range(0, len(rows), _A_SHEET), 1):
        pictures.append(Picture(f"fresh_{number}.png", shows))
        write_small_png(labelled_sheet(rows[start : start + _A_SHEET]), out / pictures[-1].file)
    return pictures


def record(
    world: World,
    objects: Sequence[Mapping[str, Any]],
    pictures: Sequence[Picture],
    num_planned: int,
    quick: bool,
) -> Record:
    """Both claims, and what else was measured on these objects, of which nothing is claimed.

    Args:
        world: The world.
        objects: Finished ones.
        pictures: What is shown of them.
        num_planned: Objects that there shall be.
        quick: Whether it is from ``--quick``.
    """
    unequal = unequal_budgets(world, objects)
    table = estimates(world, values_of(world, objects))
    about = (
        "20 prompts with a front, of no other file; one seed. The prior was trained on all of "
        "their pairs of material and category, on 9 of Table 1's 14 with a front. Claims, prompts "
        "and test were committed before the first object was made; the claims are Table 1's, which "
        "leaves them undecided among its many. A two-sided sign-flip test over prompts, Holm's "
        f"adjustment for both.{made_at(objects)}"
    )
    parts: list[Part] = [warning(unequal)] if unequal else []
    parts.append(Text(about))
    if not unequal:
        rows = verdict_rows(compared(world, objects), len(objects) == num_planned)
        parts.append(Table(["claim", "difference", "p", "p (Holm)", "prompts", "verdict"], rows))
    parts.append(Text("What else was measured on them; nothing is claimed of it."))
    head = ["method", *(measure.title for measure in world.measures), "prompts"]
    cells = [
        [
            METHODS[method],
            *(show(row.get(measure.key), measure) for measure in world.measures),
            str(row[MEASURE].num),
        ]
        for method, row in table.items()
    ]
    parts += [Table(head, cells), *pictures]
    numbers = {"estimates": as_numbers(table), "objects": list(objects)}
    return Record(TITLE, parts, numbers, quick, len(objects), num_planned)


def planned(world: World, root: Path, quick: bool = False) -> list[Run]:
    """All runs, prompt by prompt."""
    prompts = read_prompts(PROMPTS)[: 4 if quick else None]
    return plan(world, (*AGAINST, OURS), prompts, range(1), root)


def main() -> int:
    """Makes the objects and writes the page."""
    parser = figure_parser(__doc__, "4 prompts")
    add_run_options(parser)
    add_kept_option(parser)
    arguments = parser.parse_args()
    world, out = WORLDS["embedded"], arguments.out.resolve()
    runs = planned(world, out / "runs", arguments.quick)
    kept = arguments.kept
    failures = [] if arguments.report else execute_all(runs, arguments.processes, kept)
    objects = read_objects(world, runs, kept)
    found = record(world, objects, sheet(runs, out), len(runs), arguments.quick)
    print(write_record(found, out / "fresh.json"))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(in_one_line(main))
