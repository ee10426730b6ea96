"""App. E.6: what retrieval, adaptation and distillation take of a run's time.

``python -m experiments.paper.efficiency --out DIR``, with the ``DIR`` that table1.py was given,
trains the adapters of its runs alone, with their own batch, and writes ``DIR/efficiency.json`` and
its page; ``--quick`` takes 2 prompts. It resumes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from experiments.paper.adapted import TABLE1, adapted
from experiments.paper.command_line import figure_parser, fronted_prompts
from experiments.paper.galleries import finished
from experiments.paper.record import Part, Record, Table, Text, write_record
from experiments.paper.world import OURS, WORLDS

PARTS = ("retrieval", "rendering", "adaptation", "training")


def read(prompts: Sequence[str], out: Path) -> dict[str, dict[str, float]]:
    """Seconds of each part, of the prompts whose run is finished."""
    runs = finished(WORLDS["embedded"], OURS, prompts, out / "runs")
    found = {}
    for prompt, run in runs.items():
        facts = adapted(prompt, out / "adapters", TABLE1).facts
        found[prompt] = {
            **{part: facts[part] for part in PARTS[:3]},
            "training": run.read()["training_seconds"],
        }
    return found


def record(seconds: Mapping[str, Mapping[str, float]], num_planned: int, quick: bool) -> Record:
    """Mean seconds of each part, and their shares.

    Raises:
        ValueError: If nothing was measured.
    """
    if not seconds:
        raise ValueError("no prompt has a run there: run table1.py first")
    means = {part: mean(each[part] for each in seconds.values()) for part in PARTS}
    whole = means["retrieval"] + means["rendering"] + means["training"]
    names = {
        "retrieval": "retrieval: search, loading, orientation",
        "rendering": "rendering the assets' views",
        "adaptation": "adaptation, measured alone",
        "training": "distillation, adaptation beside it",
    }
    rows = [
        [name, f"{means[part]:.1f}", f"{100 * means[part] / whole:.0f}%"]
        for part, name in names.items()
    ]
    about = (
        f"Means over {len(seconds)} prompt(s), by the clock of a machine that may have other work. "
        "A run is retrieval, rendering and distillation; adaptation proceeds beside the "
        "distillation and is given as it takes alone, in shares of the run, too. The export is not "
        "counted. The paper, on an A6000: 7 seconds, 7 minutes alone, and hours."
    )
    numbers: Any = {"seconds": seconds, "means": means}
    parts: list[Part] = [Text(about), Table(["part", "seconds", "share of the run"], rows)]
    num = len(seconds)
    return Record("App. E.6: where the time goes", parts, numbers, quick, num, num_planned)


def main() -> None:
    """Reads and writes the record."""
    arguments = figure_parser(__doc__, "2 prompts").parse_args()
    out = arguments.out.resolve()
    prompts = fronted_prompts(WORLDS["embedded"], 2 if arguments.quick else None)
    found = record(read(prompts, out), len(prompts), arguments.quick)
    print(write_record(found, out / "efficiency.json"))


if __name__ == "__main__":
    main()
