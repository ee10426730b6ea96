"""Does retrieval need assets that are alike? Ever thinner libraries, and wrong ones.

``python -m experiments.paper.thinned --out DIR`` makes the 24 test prompts with the whole embedded
library, a half, an eighth and a 32nd of it, and with all of it but the prompt's own category, one
seed; with Table 1's ``DIR`` it takes the whole library's objects and ProlificDreamer's, which
retrieve nothing, from there. It writes ``DIR/thinned.json``, its page and a curve: how much is
gained over no retrieval, by how much the nearest asset is like the prompt. ``--quick`` takes 4
prompts. It resumes, and may be started several times at once.
"""

import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from experiments.paper.command_line import (
    add_kept_option,
    add_run_options,
    figure_parser,
    in_one_line,
)
from experiments.paper.pictures import write_small_png
from experiments.paper.record import Part, Picture, Record, Table, Text, write_record
from experiments.paper.runs import Run, execute_all
from experiments.paper.table1 import (
    INTERVALS,
    made_at,
    read_objects,
    show_difference,
    show_estimate,
    unequal_budgets,
    values_of,
    warning,
)
from experiments.paper.world import OURS, ROOT, WORLDS, World, read_prompts
from redream.metrics.statistics import (
    ANY,
    Bounds,
    Estimate,
    cluster_means,
    compare_paired,
    estimate,
    holm,
    winner,
)
from redream.mini.prepare import embedded_world
from redream.retrieval import EmbeddingIndex, Encoder, ExactRetriever
from redream.retrieval.writing import write_index

WITHOUT = "prolificdreamer"  # which retrieves nothing
SHARES = {"whole": 1.0, "half": 1 / 2, "eighth": 1 / 8, "32nd": 1 / 32}
WRONG = "wrong"
LIBRARIES = (*SHARES, WRONG)
NUM_BINS = 4
_TITLES = {
    "whole": "the whole library", "half": "a half", "eighth": "an eighth", "32nd": "a 32nd",
    WRONG: "all but the prompt's category",
}  # fmt: skip


class Point(NamedTuple):
    """One object: how much its nearest asset is like its prompt, and what that was worth."""

    prompt: str
    library: str
    similarity: float
    gain: float


def category_of(text: str) -> str:
    """What a prompt or a caption of the embedded world shows: its last word."""
    return text.split()[-1]


def rows_of(library: str, captions: Sequence[str], prompt: str, seed: int = 0) -> NDArray[np.int64]:
    """The rows of an index that a library keeps; each thinner one is a part of the one before.

    Args:
        library: One of :data:`LIBRARIES`.
        captions: Of all rows.
        prompt: What shall be made.
        seed: Draws what stays.

    Returns:
        The rows, in order.
    """
    if library == WRONG:
        wrong = [
            i for i, caption in enumerate(captions) if category_of(caption) != category_of(prompt)
        ]
        return np.array(wrong, dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(captions))
    return np.sort(order[: max(1, round(SHARES[library] * len(captions)))])


def index_of(library: str, prompt: str, out: Path) -> Path:
    """Where the index of a library is; the wrong one is another for each category."""
    name = f"{WRONG}_{category_of(prompt)}" if library == WRONG else library
    return out / "indices" / name


def write_library_index(library: str, prompt: str, out: Path) -> Path:
    """Writes a library's index, unless it is there."""
    folder = index_of(library, prompt, out)
    if not folder.is_dir():
        whole = EmbeddingIndex.open(embedded_world().index)
        assets = [whole.asset(row) for row in range(len(whole))]
        rows = rows_of(library, [asset.caption for asset in assets], prompt)
        write_index(
            folder,
            [assets[row] for row in rows],
            whole.text[rows],
            whole.image[rows],
            {"name": whole.encoder_name, "init_args": whole.encoder},
            whole.store,
        )
    return folder


def plan(world: World, prompts: Sequence[str], out: Path) -> dict[tuple[str, str], Run]:
    """The runs, by library (or :data:`WITHOUT`) and prompt; the whole library's is Table 1's."""
    runs = {}
    for prompt in prompts:
        for library in LIBRARIES:
            method, options = OURS, tuple[str, ...]()
            if library != "whole":
                method = f"{OURS}@{library}"
                # from where runs are started: a recipe is the same in every checkout
                index = os.path.relpath(index_of(library, prompt, out), ROOT)
                options = (f"--data.retriever.init_args.index={index}", "--data.least_likeness=-10")
            layers = tuple(world.layers(OURS))
            runs[library, prompt] = Run(method, prompt, 0, layers, options, out / "runs")
        layers = tuple(world.layers(WITHOUT))
        runs[WITHOUT, prompt] = Run(WITHOUT, prompt, 0, layers, (), out / "runs")
    return runs


@cache
def _encoder() -> Encoder:
    return Encoder(str(embedded_world().retrieval_clip))


def similarity(index: Path, prompt: str) -> float:
    """Cosine of the prompt and the pictures of the asset that is retrieved first."""
    (nearest,) = ExactRetriever(index, _encoder()).retrieve(prompt, 1)
    return nearest.scores["image"]


def points_of(
    world: World,
    objects: Sequence[Mapping[str, Any]],
    key: str,
    similar: Callable[[str, str], float],
) -> list[Point]:
    """What each finished object gained on one measure over no retrieval.

    Args:
        world: Says how objects are measured, and which way is better.
        objects: Finished ones, of all libraries and without.
        key: The measure.
        similar: The similarity of the nearest asset, by library and prompt.
    """
    better = next(measure.better for measure in world.measures if measure.key == key)
    values = {name: cells.get(key, {}) for name, cells in values_of(world, objects).items()}
    found = []
    for library in LIBRARIES:
        mine = values.get(OURS if library == "whole" else f"{OURS}@{library}", {})
        for (prompt, seed), value in mine.items():
            other = values.get(WITHOUT, {}).get((prompt, seed))
            if other is not None:
                gain = better * (value - other)
                found.append(Point(prompt, library, similar(library, prompt), gain))
    return found


def curve(
    points: Sequence[Point], bounds: Bounds = ANY, num_bins: int = NUM_BINS
) -> list[tuple[float, Estimate]]:
    """Gain by similarity: bins of equally many objects, prompts as clusters within each.

    Args:
        points: Gains on one measure.
        bounds: The least and the largest that the measure can be.
        num_bins: Bins.

    Returns:
        Mean similarity and gain of each bin, from unlike to alike.
    """
    reach = bounds[1] - bounds[0]
    ordered = sorted(points, key=lambda point: point.similarity)
    bins = [part.tolist() for part in np.array_split(np.arange(len(ordered)), num_bins)]
    found = []
    for places in (each for each in bins if each):
        mine = [ordered[place] for place in places]
        gains = {(point.prompt, place): point.gain for place, point in enumerate(mine)}
        mean = float(np.mean([point.similarity for point in mine]))
        found.append((mean, estimate(list(cluster_means(gains).values()), (-reach, reach))))
    return found


def draw(
    points: Sequence[Point], binned: Sequence[tuple[float, Estimate]], title: str
) -> Image.Image:
    """Every object, and the curve with its intervals."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axis = figure.add_subplot()
    for number, library in enumerate(LIBRARIES):
        mine = [point for point in points if point.library == library]
        if not mine:
            continue
        likeness, gain = [point.similarity for point in mine], [point.gain for point in mine]
        axis.scatter(likeness, gain, s=12, color=f"C{number}", alpha=0.6, label=_TITLES[library])
    at, means = zip(*binned, strict=True)
    ends = [[each.mean - each.low for each in means], [each.high - each.mean for each in means]]
    axis.errorbar(at, [each.mean for each in means], yerr=ends, color="black", capsize=3)
    axis.axhline(0.0, color="grey", linewidth=0.8)
    axis.set(xlabel="likeness of the nearest asset (cosine)", ylabel=f"gain in {title}")
    axis.legend(fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return Image.open(buffer).convert("RGB")


def record(
    world: World,
    objects: Sequence[Mapping[str, Any]],
    points: Mapping[str, Sequence[Point]],
    num_planned: int,
    quick: bool,
) -> Record:
    """What each library is worth, and the curve.

    Args:
        world: The world.
        objects: Finished objects.
        points: Gains by measure.
        num_planned: Objects that there shall be.
        quick: Whether it is from ``--quick``.
    """
    titles = {measure.key: measure.title for measure in world.measures}
    bounds = {measure.key: measure.bounds for measure in world.measures}
    unequal = unequal_budgets(world, objects)
    if unequal:
        return Record(_TITLE, [warning(unequal)], {}, quick, len(objects), num_planned)
    rows, ps, compared = [], [], []
    for key, mine in points.items():
        for library in LIBRARIES:
            here = [point for point in mine if point.library == library]
            if not here:
                continue
            gains = {point.prompt: point.gain for point in here}
            found = compare_paired(gains, dict.fromkeys(gains, 0.0), bounds[key])
            likeness = estimate([point.similarity for point in here])
            compared.append((key, library, found, likeness))
            ps.append(found.p)
    for (key, library, found, likeness), p in zip(compared, holm(ps), strict=True):
        verdict = winner(found, p, "helps", "harms")
        rows.append(
            [titles[key], _TITLES[library], show_estimate(likeness), show_difference(found)]
            + [f"{found.p:.3f}", f"{p:.3f}", verdict, str(found.num)]
        )
    head = ["measure", "library", "likeness", "gain", "p", "p (Holm)", "retrieval", "prompts"]
    about = (
        "Gain: the measure, so that more is better, minus that of the same prompt without "
        "retrieval: ProlificDreamer, of as many passes, whose guidance and diffusion times are "
        "others, too. Likeness: cosine of the prompt and the "
        "pictures of the asset found first, by the CLIP that retrieves. 95% intervals over prompts "
        f"({INTERVALS}); p of a two-sided sign-flip test, and after Holm's adjustment for all rows."
        f"{made_at(objects)}"
    )
    parts: list[Part] = [Text(about), Table(head, rows), *_alike_against_wrong(points, titles)]
    binned = {key: curve(mine, bounds[key]) for key, mine in points.items()}
    steps = [
        [titles[key], f"{at:.2f}", show_estimate(each, 3), str(each.num)]
        for key, line in binned.items()
        for at, each in line
    ]
    parts.append(Text("All objects together, from unlike to alike, in bins of equally many:"))
    parts.append(Table(["measure", "likeness", "gain", "prompts"], steps))
    parts += [
        Picture(picture_of(key), f"Gain in {titles[key]} by likeness; bars are 95% intervals.")
        for key in points
    ]
    numbers = {
        "points": {key: [point._asdict() for point in mine] for key, mine in points.items()},
        "objects": list(objects),
    }
    return Record(_TITLE, parts, numbers, quick, len(objects), num_planned)


def _alike_against_wrong(
    points: Mapping[str, Sequence[Point]], titles: Mapping[str, str]
) -> list[Part]:
    """What a particle loses that starts toward an asset of another kind, beside one of its own."""
    paired = {}
    for key, mine in points.items():
        gains = {
            library: {point.prompt: point.gain for point in mine if point.library == library}
            for library in ("whole", WRONG)
        }
        if gains["whole"].keys() & gains[WRONG].keys():
            paired[key] = compare_paired(gains["whole"], gains[WRONG])
    rows = [
        [
            titles[key], show_difference(found), f"{found.p:.3f}", f"{p:.3f}",
            winner(found, p, "the whole library", "the wrong one"), str(found.num),
        ]
        for (key, found), p in zip(
            paired.items(), holm([each.p for each in paired.values()]), strict=True
        )
    ]  # fmt: skip
    about = "The whole library against all of it but the prompt's category, on the same prompts:"
    head = ["measure", "difference", "p", "p (Holm)", "better", "prompts"]
    return [Text(about), Table(head, rows)] if rows else []


_TITLE = "Does retrieval need assets that are alike?"


def picture_of(key: str) -> str:
    """The file of a measure's curve."""
    return f"thinned_{key}.png"


def main() -> int:
    """Makes the objects, draws and writes the record."""
    parser = figure_parser(__doc__, "4 prompts")
    add_run_options(parser)
    add_kept_option(parser)
    arguments = parser.parse_args()
    world, out = WORLDS["embedded"], arguments.out.resolve()
    prompts = read_prompts(world.prompts)[: 4 if arguments.quick else None]
    runs = plan(world, prompts, out)
    indices = {key: write_library_index(*key, out) for key in runs if key[0] != WITHOUT}
    asked, kept = list(runs.values()), arguments.kept
    failures = [] if arguments.report else execute_all(asked, arguments.processes, kept)
    objects = read_objects(world, asked, kept)
    if not objects:
        raise SystemExit(f"no object is finished in {out}: leave --report out to make them")
    points = {
        key: points_of(world, objects, key, lambda *names: similarity(indices[names], names[1]))
        for key in ("shape_f_score", "clip_score")
    }
    points = {key: mine for key, mine in points.items() if mine}
    measures = {measure.key: measure for measure in world.measures}
    for key, mine in points.items():
        binned = curve(mine, measures[key].bounds)
        write_small_png(draw(mine, binned, measures[key].title), out / picture_of(key))
    found = record(world, objects, points, len(runs), arguments.quick)
    print(write_record(found, out / "thinned.json"))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(in_one_line(main))
