"""Fig. 17: ReDream without its initialisation, and without its adaptation, on equal budgets.

``python benchmarks/paper/fig17.py --out DIR`` makes the 24 test prompts in three variants, of one
seed, and writes ``DIR/fig17.md``; ``--quick`` takes 4 prompts. It resumes, as table1.py does.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from provenance import command, commit
from runs import Run, execute_all
from table1 import comparisons, estimates, show, unequal_budgets, values_of
from world import OURS, WORLDS, World, read_prompts

from redream.files import whole_file

FULL = "whole"
VARIANTS: dict[str, tuple[str, ...]] = {
    FULL: (),
    "no initialisation": ("--model.warmup_steps=0",),  # Eq. 3
    "no adaptation": ("--model.adapter=null",),  # Eq. 5
}


def plan(world: World, prompts: Sequence[str], root: Path) -> list[Run]:
    """Every variant of every prompt, prompt by prompt."""
    layers = tuple(world.layers(OURS))
    return [
        Run(name, prompt, 0, layers, options, root)
        for prompt in prompts
        for name, options in VARIANTS.items()
    ]


def page(
    world: World, objects: Sequence[Mapping[str, Any]], num_planned: int, made_by: tuple[str, str]
) -> str:
    """The variants, and by how much the whole method is ahead of each."""
    lines = ["## Fig. 17: what initialisation and adaptation do", ""]
    lines += [f"Made by `{made_by[0]}` at commit {made_by[1]}.", ""]
    if len(objects) < num_planned:
        lines += [f"**Unfinished: {len(objects)} of {num_planned} objects.**", ""]
    unequal = unequal_budgets(world, objects)
    if unequal:
        lines += [f"**Unequal numbers of UNet samples: {unequal}. Nothing is compared.**", ""]
    lines += [f"| ReDream | {' | '.join(m.title for m in world.measures)} | prompts |"]
    lines += ["|---" * (len(world.measures) + 2) + "|"]
    values = values_of(world, objects)
    table = estimates(world, values)
    for name in VARIANTS:
        if name in table:
            cells = [show(table[name].get(m.key), m) for m in world.measures]
            num = table[name][world.measures[0].key].num
            lines.append(f"| {name} | {' | '.join(cells)} | {num} |")
    paired = {} if unequal else comparisons(world, values, FULL)
    if paired:
        lines += ["", "Whole minus variant, paired by prompt:", ""]
        lines += ["| variant | measure | difference | p | p (Holm) |", "|---|---|---|---|---|"]
    titles = {measure.key: measure.title for measure in world.measures}
    for (name, key), (found, adjusted) in paired.items():
        lines.append(
            f"| {name} | {titles[key]} | {found.difference:+.3f} "
            f"[{found.low:+.3f}, {found.high:+.3f}] | {found.p:.3f} | {adjusted:.3f} |"
        )
    return "\n".join([*lines, ""])


def main() -> int:
    """Makes the variants and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and the page")
    parser.add_argument("--quick", action="store_true", help="4 prompts")
    parser.add_argument("--processes", type=int, default=1, help="default: %(default)s")
    arguments = parser.parse_args()
    world, out = WORLDS["embedded"], arguments.out.resolve()
    prompts = read_prompts(world.prompts)[: 4 if arguments.quick else None]
    runs = plan(world, prompts, out / "runs")
    failures = execute_all(runs, arguments.processes)
    objects = [run.read() for run in runs if run.done() is not None]
    text = page(world, objects, len(runs), (command(), commit()))
    with whole_file(out / "fig17.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
