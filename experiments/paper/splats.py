"""NeRF and splats side by side: the same prompts, cameras, guidance and passes of the network.

``python -m experiments.paper.splats --out DIR --page docs/splats.md`` makes the twelve tuning
prompts of the embedded world once each way, some six CPU minutes a prompt, and writes
``DIR/splats.md``, the page's table, and a sheet of four sides for each prompt. Objects that are
finished are kept, so the command goes on where it was stopped; ``--quick`` makes one prompt,
``--report`` only writes.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from experiments.paper.command_line import add_run_options, figure_parser, in_one_line
from experiments.paper.compare import sheets
from experiments.paper.record import Part, Record, Table, Text, put_record, write_record
from experiments.paper.runs import Run, execute_all
from experiments.paper.table1 import made_at, show_difference
from experiments.paper.world import OURS, ROOT, WORLDS, World, read_prompts
from redream.metrics.statistics import FEWEST, compare_paired, holm, winner

WAYS: dict[str, tuple[tuple[Path, ...], tuple[str, ...]]] = {
    "NeRF": ((), ()),
    "Splats": ((ROOT / "configs" / "splats.yaml",), ()),
    "Splats-from-a-ball": (
        (ROOT / "configs" / "splats.yaml",), ("--model.warmup.start_on_assets=false",),
    ),
}  # fmt: skip
"""What lies over the world's configuration, and the options after it."""
COLUMNS = {
    "cpu_seconds": "CPU s ↓",
    "shape_f_score": "shape F-score ↑",
    "pattern_score": "pattern score ↑",
    "clip_score": "CLIP score ↑",
    "psnr_db": "PSNR of the mesh, dB ↑",
    "silhouette_iou": "IoU of the mesh ↑",
}


def plan(world: World, ways: Sequence[str], prompts: Sequence[str], root: Path) -> list[Run]:
    """All runs, prompt by prompt, so that what is there early can be compared.

    Raises:
        ValueError: If a way is unknown.
    """
    unknown = sorted(set(ways) - set(WAYS))
    if unknown:
        raise ValueError(f"no way {unknown}: take of {list(WAYS)}")
    *beneath, measure = world.layers(OURS)
    return [
        Run(way, prompt, 0, (*beneath, *WAYS[way][0], measure), WAYS[way][1], root)
        for prompt in prompts
        for way in ways
    ]


def read_objects(world: World, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The measures of what is finished; where no mesh was found, its fidelity is 0."""
    objects = []
    for run in runs:
        if run.done() is None:
            continue
        each = run.read()
        assert world.measure_model is not None
        measures = each["measures"] | {"psnr_db": 0.0, "silhouette_iou": 0.0} | each["model"]
        measures |= world.measure_model(run.prompt, run.folder / "particle_0.glb")
        objects.append(each | {"measures": measures | {"cpu_seconds": each["cpu_seconds"]}})
    return objects


def record(objects: Sequence[Mapping[str, Any]], num_planned: int, quick: bool) -> Record:
    """A row for each way: means over the prompts that all of them have finished."""
    ways = list(dict.fromkeys(each["method"] for each in objects))
    done = [{each["prompt"] for each in objects if each["method"] == way} for way in ways]
    shared = sorted(set.intersection(*done)) if done else []
    rows = []
    for way in ways:
        mine = [x["measures"] for x in objects if x["method"] == way and x["prompt"] in shared]
        means = [mean(measured.get(key, 0.0) for measured in mine) for key in COLUMNS if mine]
        rows.append([way.replace("-", " "), *(f"{value:.3g}" for value in means)])
    about = (
        f"Means over {len(shared)} prompt(s) of 12, one seed, one particle"
        f"{': ' + ', '.join(shared) if shared else ''}. Pattern and CLIP score are of the "
        "turntable, the F-score and the fidelity of the mesh. CPU seconds are the whole "
        "command's, user and system, on one thread."
        f"{made_at(objects)}"
    )
    parts: list[Part] = [Text(about), Table(["", *COLUMNS.values()], rows)]
    for way in ways[1:]:
        parts += _compared(objects, way, ways[0], shared)
    return Record("NeRF and splats", parts, list(objects), quick, len(objects), num_planned)


def _compared(
    objects: Sequence[Mapping[str, Any]], way: str, against: str, prompts: Sequence[str]
) -> list[Part]:
    """One way minus another on each prompt that both have, with Holm's p over the columns."""
    found = {}
    for key in COLUMNS if prompts else ():
        mine, theirs = (
            {
                each["prompt"]: each["measures"].get(key, 0.0)
                for each in objects
                if each["method"] == name and each["prompt"] in prompts
            }
            for name in (way, against)
        )
        found[key] = compare_paired(mine, theirs)
    adjusted = holm([each.p for each in found.values()])
    rows = []
    for (key, each), p in zip(found.items(), adjusted, strict=True):
        sides = (way, against) if COLUMNS[key].endswith("↑") else (against, way)
        better = winner(each, p, *sides).replace("-", " ")
        rows.append([COLUMNS[key], show_difference(each), better, f"{each.p:.3f}", f"{p:.3f}"])
    about = (
        f"{way.replace('-', ' ')} minus {against}, prompt by prompt, with 95% intervals; p of a "
        "two-sided sign-flip test, and after Holm's adjustment for all rows; fewer than "
        f"{FEWEST} prompts cannot decide."
    )
    head = ["measure", "difference", "better", "p", "p (Holm)"]
    return [Text(about), Table(head, rows)] if rows else []


def main() -> int:
    """Makes the objects, writes the record, the sheets and the page's part."""
    parser = figure_parser(__doc__, "one prompt")
    add_run_options(parser)
    parser.add_argument("--ways", nargs="+", default=list(WAYS)[:2], help=f"of {list(WAYS)}")
    parser.add_argument("--prompts", nargs="+", help="default: the twelve of embedded_tuning.txt")
    parser.add_argument("--page", type=Path, help="Markdown whose part <!-- nerf --> is replaced")
    arguments = parser.parse_args()
    out, world = arguments.out.resolve(), WORLDS["embedded"]
    assert world.tuning is not None
    prompts = arguments.prompts or read_prompts(world.tuning)
    prompts = prompts[:1] if arguments.quick else prompts
    try:
        runs = plan(world, arguments.ways, prompts, out / "runs")
    except ValueError as error:
        parser.error(str(error))
    failures = [] if arguments.report else execute_all(runs, arguments.processes)
    found = record(read_objects(world, runs), len(runs), arguments.quick)
    sheets(runs, out)
    print(write_record(found, out / "splats.json"))
    if arguments.page is not None:
        put_record(found, arguments.page, "nerf", out)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(in_one_line(main))
