"""Figs. 10 and 16: intermediates of Table 1's runs, and how soon each method reaches a score.

``python -m experiments.paper.fig10_16 --out DIR``, with the ``DIR`` that table1.py was given,
writes ``DIR/fig10_16.json``, its page and its pictures. Nothing is trained here: runs keep previews
of four sides, which the evaluation CLIP compares with the prompt. ``--quick`` takes 4 prompts, as
table1.py does, and ``--kept`` takes the curves of an earlier record whose runs are not in ``DIR``.
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from experiments.paper.adapted import evaluator
from experiments.paper.command_line import figure_parser
from experiments.paper.galleries import BASELINE, finished
from experiments.paper.pictures import read_png, resized, write_small_png
from experiments.paper.record import Part, Picture, Record, Table, Text, read_record, write_record
from experiments.paper.runs import Run
from experiments.paper.table1 import plan
from experiments.paper.world import METHODS, OURS, WORLDS, read_prompts
from redream.retrieval import Encoder
from redream.tools.output import labelled_sheet

NUM_VIEWS, GAP = 4, 2  # of the previews' sheets
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
_SHOWN, _SIZE = 3, 96

Point = Mapping[str, float]
"""``steps``, ``passes``, ``seconds`` and ``score`` at a preview."""


def preview(path: Path) -> Float[Tensor, "4 3 H W"]:
    """The views of a preview's sheet of one particle."""
    sheet = read_png(path)
    width = (sheet.shape[-1] + GAP) // NUM_VIEWS
    return torch.stack([sheet[..., i * width : (i + 1) * width - GAP] for i in range(NUM_VIEWS)])


def previews(run: Run) -> dict[int, Path]:
    """A run's previews by step."""
    sheets = sorted((run.folder / "previews").glob("step_*.png"))
    return {int(sheet.stem.removeprefix("step_")): sheet for sheet in sheets}


def curve(run: Run, encoder: Encoder) -> list[Point]:
    """The score at each preview: the mean cosine of four sides and the prompt."""
    text = torch.as_tensor(encoder.encode_texts([run.prompt]))[0]
    used = json.loads((run.folder / "budget.json").read_text("utf-8"))
    keys = ("steps", "passes", "seconds")
    spent = {each["steps"]: {key: each[key] for key in keys} for each in (*used["curve"], used)}
    points: list[Point] = []
    for step, sheet in previews(run).items():  # the last is of the run's end, whenever that was
        seen = torch.as_tensor(encoder.encode_images(preview(sheet)))
        points.append({**spent[step], "score": float((seen @ text).mean())})
    return points


def smooth(points: Sequence[Point]) -> list[float]:
    """Scores, each averaged with its neighbours."""
    scores = [point["score"] for point in points]
    return [mean(scores[max(0, i - 1) : i + 2]) for i in range(len(scores))]


def reached(points: Sequence[Point], target: float) -> Point | None:
    """The first preview whose smoothed score is at least the target; None where none is."""
    reaching = (p for p, score in zip(points, smooth(points), strict=True) if score >= target)
    return next(reaching, None)


def at_share(points: Sequence[Point], share: float) -> Point:
    """The last preview within a share of the run's passes, or the first there is."""
    limit = share * points[-1]["passes"]
    return next((p for p in reversed(points) if p["passes"] <= limit), points[0])


def convergence(curves: Mapping[str, Mapping[str, Sequence[Point]]]) -> dict[str, dict[str, Any]]:
    """When each method reaches the score that the baseline ends with, prompt by prompt.

    Args:
        curves: Points by method and prompt; prompts that a method lacks are left out.

    Returns:
        By method: ``reached`` and ``num`` prompts, what each took (``prompts``, None where it was
        not reached), what the run had taken when it ended (``ends``), and medians of what it took
        over the prompts on which both have reached it.
    """
    common = [prompt for prompt in curves[BASELINE] if prompt in curves[OURS]]
    targets = {prompt: smooth(curves[BASELINE][prompt])[-1] for prompt in common}
    hits = {
        method: [reached(curves[method][prompt], targets[prompt]) for prompt in common]
        for method in (BASELINE, OURS)
    }
    both = [pair for pair in zip(*hits.values(), strict=True) if None not in pair]
    found: dict[str, dict[str, Any]] = {}
    for place, (method, mine) in enumerate(hits.items()):
        found[method] = {
            "num": len(common),
            "reached": sum(hit is not None for hit in mine),
            "prompts": mine,
            "ends": [curves[method][prompt][-1] for prompt in common],
        } | {
            key: median(pair[place][key] for pair in both) if both else None
            for key in ("steps", "passes", "seconds")
        }
    return found


def draw_curves(curves: Mapping[str, Mapping[str, Sequence[Point]]]) -> Image.Image:
    """Each method's scores over passes, thin for each prompt, bold at shares of the budget."""
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axis = figure.add_subplot()
    for index, (method, by_prompt) in enumerate(curves.items()):
        for points in by_prompt.values():
            passes = [point["passes"] for point in points]
            axis.plot(passes, smooth(points), color=f"C{index}", alpha=0.25, linewidth=0.8)
        middle = [
            [mean(at_share(each, share)[key] for each in by_prompt.values()) for share in SHARES]
            for key in ("passes", "score")
        ]
        axis.plot(*middle, color=f"C{index}", linewidth=2.0, label=METHODS[method])
    axis.set(xlabel="passes of the network", ylabel="cosine with the prompt")
    axis.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return Image.open(buffer).convert("RGB")


def intermediates(run: Run, points: Sequence[Point]) -> Float[Tensor, "S 3 size size"]:
    """One side of a particle, the first of the preview's, at shares of the budget."""
    sheets = previews(run)
    steps = [int(at_share(points, share)["steps"]) for share in SHARES]
    return resized(torch.stack([preview(sheets[step])[0] for step in steps]), _SIZE)


def kept_curves(path: Path, runs: Sequence[Run]) -> dict[str, dict[str, list[Point]]]:
    """Curves of an earlier record, by method and prompt.

    Args:
        path: The record.
        runs: Those that are wanted; a curve of another recipe is not theirs.

    Raises:
        ValueError: If it is no such record.
    """
    numbers = read_record(path).numbers
    if not isinstance(numbers, dict) or not {"curves", "recipes"} <= numbers.keys():
        raise ValueError(f"{path} is no record of curves and their recipes")
    found: dict[str, dict[str, list[Point]]] = {}
    for run in runs:
        if numbers["recipes"].get(run.method, {}).get(run.prompt) == run.recipe:
            found.setdefault(run.method, {})[run.prompt] = numbers["curves"][run.method][run.prompt]
    return found


def record(
    curves: Mapping[str, Mapping[str, Sequence[Point]]],
    recipes: Mapping[str, Mapping[str, str]],
    shown: Sequence[Part],
    num_planned: int,
    quick: bool,
) -> Record:
    """How the score grows, and when the baseline's is reached."""
    rows = []
    for method, by_prompt in curves.items():
        cells = [
            f"{mean(at_share(points, share)['score'] for points in by_prompt.values()):.3f}"
            for share in SHARES
        ]
        rows.append([METHODS[method], *cells, str(len(by_prompt))])
    head = ["method", *(f"{100 * share:.0f}% of the passes" for share in SHARES), "prompts"]
    numbers: dict[str, Any] = {"curves": curves, "recipes": recipes}
    about = "Mean cosine of four sides and the prompt, by the evaluation CLIP."
    parts: list[Part] = [Text(about), Table(head, rows)]
    if curves.get(OURS) and curves.get(BASELINE):
        numbers["convergence"] = convergence(curves)
        parts += [
            Text(
                f"When the score that {METHODS[BASELINE]} ends with is reached, prompt by prompt "
                "(scores averaged with their neighbours; medians over the prompts on which both "
                "reach it; passes are equal in all, so that a run of ours has fewer steps). "
                f"A step of {METHODS[OURS]} costs more passes while its adapter learns, and its "
                "particles look like the assets, which are of clay here, until the warm-up ends. "
                "The paper: 20,000 iterations where the baseline takes 25,000."
            ),
            Table(
                ["method", "reached", "steps", "passes", "seconds"],
                [
                    [METHODS[method], f"{each['reached']} of {each['num']}"]
                    + [
                        "-" if each[key] is None else f"{each[key]:.0f}"
                        for key in ("steps", "passes", "seconds")
                    ]
                    for method, each in numbers["convergence"].items()
                ],
            ),
        ]
    num = sum(map(len, curves.values()))
    title = "Figs. 10 and 16: intermediates and convergence"
    return Record(title, [*parts, *shown], numbers, quick, num, num_planned)


def main() -> None:
    """Reads the runs, draws and writes the record."""
    parser = figure_parser(__doc__, "4 prompts")
    parser.add_argument("--kept", type=Path, help="an earlier record of this command")
    arguments = parser.parse_args()
    out, world = arguments.out.resolve(), WORLDS["embedded"]
    prompts = read_prompts(world.prompts)[: 4 if arguments.quick else None]
    wanted = plan(world, (BASELINE, OURS), prompts, [0], out / "runs")
    try:
        runs = {
            method: finished(world, method, prompts, out / "runs") for method in (BASELINE, OURS)
        }
        kept = {} if arguments.kept is None else kept_curves(arguments.kept, wanted)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if not any(runs.values()):
        raise SystemExit(f"no object is finished in {out}: run table1.py there first")
    encoder = evaluator()
    curves = {
        method: kept.get(method, {})
        | {prompt: curve(run, encoder) for prompt, run in by_prompt.items()}
        for method, by_prompt in runs.items()
        if by_prompt or method in kept
    }
    recipes = {
        method: {
            run.prompt: run.recipe
            for run in wanted
            if run.method == method and run.prompt in curves[method]
        }
        for method in curves
    }
    write_small_png(draw_curves(curves), out / "fig16_curves.png")
    rows = [
        (f"{METHODS[method]}: {prompt}", intermediates(runs[method][prompt], by_prompt[prompt]))
        for prompt in prompts
        for method, by_prompt in curves.items()
        if prompt in runs[method]
    ]
    write_small_png(labelled_sheet(rows[: 2 * _SHOWN]), out / "fig10.png")
    shares = ", ".join(f"{100 * share:.0f}" for share in SHARES)
    shown: list[Part] = [
        Picture("fig16_curves.png", "Score over passes of the network; thin lines are prompts."),
        Picture("fig10.png", f"The front after {shares}% of the passes."),
    ]
    if kept:
        commit = read_record(arguments.kept).commit
        shown.insert(0, Text(f"Curves of runs that are gone are of the record at {commit}."))
    found = record(curves, recipes, shown, 2 * len(prompts), arguments.quick)
    print(write_record(found, out / "fig10_16.json"))


if __name__ == "__main__":
    main()
