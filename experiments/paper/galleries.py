"""Figs. 3, 6 and 13: galleries of what Table 1's runs have made; nothing is trained here.

``python -m experiments.paper.galleries --out DIR``, with the ``DIR`` that table1.py was given,
writes ``DIR/fig03_06_13.json``, its page and its pictures: the nearest asset beside its particle,
the baseline above ours, and all prompts. Nothing is chosen: prompts come in their file's order.
``--quick`` takes 4, as table1.py does. Where earlier runs' folders are gone, ``--kept RECORD``
keeps the pictures of their record and draws the prompts that it lacks in one more.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.paper.command_line import figure_parser, fronted_prompts
from experiments.paper.pictures import quarter_views, read_film, read_png, resized, write_small_png
from experiments.paper.record import Part, Picture, Record, Text, read_record, write_record
from experiments.paper.runs import Run
from experiments.paper.table1 import plan
from experiments.paper.world import METHODS, OURS, WORLDS, World, read_prompts
from redream.files import whole_file
from redream.tools.output import labelled_sheet

BASELINE = "prolificdreamer"
_NUM_BESIDE, _NUM_AGAINST = 6, 4
_SIZE, _SMALL = 96, 64

Rows = list[tuple[str, Float[Tensor, "B 3 H W"]]]


def finished(world: World, method: str, prompts: Sequence[str], root: Path) -> dict[str, Run]:
    """Table 1's finished runs of a method, by prompt, of the first seed."""
    runs = plan(world, [method], prompts, [0], root)
    return {run.prompt: run for run in runs if run.done() is not None}


def views(run: Run, size: int) -> Float[Tensor, "4 3 size size"]:
    """A particle from four sides."""
    return resized(quarter_views(read_film(run.folder / "turntable_0.mp4")), size)


def beside_asset(runs: Sequence[Run]) -> Rows:
    """Fig. 3: the nearest asset, then its particle from four sides."""
    rows = []
    for run in runs:
        asset = resized(read_png(run.folder / "retrieval" / "asset_0.png")[None], _SIZE)
        rows.append(
            (f"{run.prompt}: nearest asset, particle", torch.cat([asset, views(run, _SIZE)]))
        )
    return rows


def against_baseline(pairs: Sequence[tuple[Run, Run]]) -> Rows:
    """Fig. 6: the baseline above ours, four sides each, with the fronts that the judge counts."""
    return [
        (
            f"{run.prompt}, {METHODS[run.method]}: "
            f"{run.read()['measures']['num_fronts']:.0f} front(s) counted",
            views(run, _SIZE),
        )
        for pair in pairs
        for run in pair
    ]


def everything(runs: Sequence[Run]) -> Rows:
    """Fig. 13: all prompts, two a row."""
    pairs = [runs[i : i + 2] for i in range(0, len(runs), 2)]
    return [
        (" | ".join(r.prompt for r in pair), torch.cat([views(r, _SMALL) for r in pair]))
        for pair in pairs
    ]


def record(world: World, prompts: Sequence[str], out: Path, quick: bool) -> Record:
    """Draws the galleries of what is finished and says what they show.

    Raises:
        ValueError: If no run of ours is finished.
    """
    ours, theirs = (finished(world, method, prompts, out / "runs") for method in (OURS, BASELINE))
    if not ours:
        raise ValueError(f"no object of {METHODS[OURS]} is finished in {out}: run table1.py there")
    fronted = [each for each in fronted_prompts(world) if each in ours.keys() & theirs.keys()]
    against = [(theirs[each], ours[each]) for each in fronted[:_NUM_AGAINST]]
    first = [*ours.values()][:_NUM_BESIDE]
    drawn = {
        "fig03.png": ("Fig. 3: nearest asset and particle", beside_asset(first)),
        "fig06.png": ("Fig. 6: baseline above ours", against_baseline(against)),
        "fig13.png": ("Fig. 13: every prompt", everything([*ours.values()])),
    }
    parts: list[Part] = [
        Text(
            "From Table 1's runs of the first seed, prompts in the order of their file. Views are "
            "a quarter of a turn apart, the first from 30 degrees beside the front."
        )
    ]
    for file, (shows, rows) in drawn.items():
        if rows:
            write_small_png(labelled_sheet(rows), out / file)
            parts.append(Picture(file, f"{shows}."))
    numbers = {
        method: {prompt: run.read()["measures"] for prompt, run in runs.items()}
        for method, runs in ((OURS, ours), (BASELINE, theirs))
    }
    num, planned = len(ours) + len(theirs), 2 * len(prompts)
    return Record("Figs. 3, 6 and 13: galleries", parts, numbers, quick, num, planned)


def extended(
    kept: Path, world: World, prompts: Sequence[str], out: Path, quick: bool = False
) -> Record:
    """An earlier record with one more picture: Fig. 13 of the prompts that it lacks.

    Args:
        kept: The earlier record; its pictures are beside it.
        world: The world.
        prompts: All prompts.
        out: Where the runs are, and where pictures go.
        quick: Whether it is from ``--quick``.

    Raises:
        ValueError: If it is no such record, or nothing is finished that it lacks.
    """
    earlier = read_record(kept)
    if not isinstance(earlier.numbers, dict) or OURS not in earlier.numbers:
        raise ValueError(f"{kept} is no record of these galleries")
    known = earlier.numbers[OURS]
    runs = {method: finished(world, method, prompts, out / "runs") for method in earlier.numbers}
    more = [run for prompt, run in runs[OURS].items() if prompt not in known]
    if not more:
        raise ValueError(f"no object is finished in {out} that {kept} lacks: run table1.py there")
    for picture in earlier.pictures:
        with whole_file(out / picture.file) as temporary:  # which may be the same file
            shutil.copyfile(kept.parent / picture.file, temporary)
    file = f"fig13_after_{len(known)}.png"
    write_small_png(labelled_sheet(everything(more)), out / file)
    numbers = {
        method: {prompt: run.read()["measures"] for prompt, run in by_prompt.items()}
        | earlier.numbers[method]
        for method, by_prompt in runs.items()
    }
    shows = (
        f"Fig. 13: {len(more)} more, of runs at {', '.join(sorted(made_at(more)))}; the pictures "
        f"above were drawn at {earlier.commit}."
    )
    num = sum(map(len, numbers.values()))
    return Record(
        earlier.title, [*earlier.parts, Picture(file, shows)], numbers, quick, num, 2 * len(prompts)
    )


def made_at(runs: Sequence[Run]) -> set[str]:
    """The commits that runs were made at."""
    return {run.read()["commit"] for run in runs}


def main() -> None:
    """Draws the galleries."""
    parser = figure_parser(__doc__, "4 prompts")
    parser.add_argument("--kept", type=Path, help="an earlier record of this command")
    arguments = parser.parse_args()
    out, world = arguments.out.resolve(), WORLDS["embedded"]
    prompts = read_prompts(world.prompts)[: 4 if arguments.quick else None]
    try:
        found = (
            record(world, prompts, out, arguments.quick)
            if arguments.kept is None
            else extended(arguments.kept, world, prompts, out, arguments.quick)
        )
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(write_record(found, out / "fig03_06_13.json"))


if __name__ == "__main__":
    main()
