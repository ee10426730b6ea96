"""Fig. 4: the text embedding interpolated from back over side to front, raw and adapted prior.

``python -m experiments.paper.fig04 --out DIR`` trains the adapters of the test prompts with a front
(they are kept for other figures) and writes ``DIR/fig04.json``, its page and its pictures;
``--quick`` takes 2 prompts. It resumes, and may be started several times at once.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.paper.adapted import (
    CONFIG,
    RAW,
    WHOLE,
    Adapted,
    adapted,
    evaluator,
    judge_accuracy,
)
from experiments.paper.command_line import figure_parser, fronted_prompts
from experiments.paper.locks import digest, keep_each, slug
from experiments.paper.pictures import write_small_png
from experiments.paper.record import Picture, Record, Table, Text, write_record
from experiments.paper.table1 import show_estimate
from experiments.paper.world import WORLDS
from redream.cameras import VIEW_NAMES
from redream.metrics import ClipViewJudge
from redream.metrics.statistics import estimate
from redream.priors import BASE
from redream.tools.output import labelled_sheet
from redream.types import key_generator

ALPHAS = (0.0, 0.17, 0.33, 0.5, 0.67, 0.83, 1.0)
"""From back (0) over side (1/2) to front (1)."""

NUM_SAMPLES = 8
_SHOWN = 2  # noises, and prompts


@torch.no_grad()
def embeddings(found: Adapted, prior: str) -> Float[Tensor, "3 L D"]:
    """The prompt from back, side and front: in words for the raw prior, else behind e_psi."""
    views, prompting = ("back", "side", "front"), found.model.prompting
    if prior == RAW:
        return found.prior.encode_prompts([prompting.spoken(found.prompt, v) for v in views])
    words = [prompting.words(found.prompt, view) for view in views]
    return found.prior.encode_prompts(words, found.adapter.prefixes(views))


def between(views: Float[Tensor, "3 L D"], alpha: float) -> Float[Tensor, "L D"]:
    """The embedding at a place on the way from the first over the second to the third."""
    if alpha < 0.5:
        return torch.lerp(views[0], views[1], 2.0 * alpha)
    return torch.lerp(views[1], views[2], 2.0 * alpha - 1.0)


def measure(out: Path, judge: ClipViewJudge, prompt: str) -> dict[str, Any]:
    """Samples both priors along the way, judges the pictures and draws some of them."""
    found = adapted(prompt, out / "adapters")
    seen: dict[str, list[list[float]]] = {}
    rows = []
    for prior, adapter in ((RAW, BASE), (WHOLE, found.adapter.name)):
        views = embeddings(found, prior)
        pictures = [
            found.prior.sample(
                between(views, alpha).expand(NUM_SAMPLES, -1, -1),
                found.guidance_scale,
                generator=key_generator("sample", 0),
                adapter=adapter,
            ).cpu()
            for alpha in ALPHAS
        ]
        seen[prior] = [judge.probabilities(prompt, each).mean(0).tolist() for each in pictures]
        name = "raw prior" if prior == RAW else "adapted prior"
        rows += [
            (f"{name}: {prompt}, from back to front", torch.stack([p[noise] for p in pictures]))
            for noise in range(_SHOWN)
        ]
    write_small_png(labelled_sheet(rows), out / f"fig04_{slug(prompt)}.png")
    return {"seen": seen, "judge": judge_accuracy(found, judge)}


def record(kept: Mapping[str, Any], prompts: Sequence[str], quick: bool) -> Record:
    """How the views seen follow the embedding."""
    rows = []
    for prior, name in ((RAW, "raw"), (WHOLE, "adapted")):
        for view in ("front", "back"):
            place = VIEW_NAMES.index(view)
            cells = [
                f"{mean(each['seen'][prior][step][place] for each in kept.values()):.2f}"
                for step in range(len(ALPHAS))
            ]
            each_turn = [turn_of(each["seen"][prior], place) for each in kept.values()]
            turns = estimate(each_turn, (-1.0, 1.0))
            rows.append([f"{name}, P({view})", *cells, show_estimate(turns)])
    accuracy = mean(each["judge"] for each in kept.values())
    about = (
        f"{NUM_SAMPLES} pictures at each of {len(ALPHAS)} embeddings, from the same noises, "
        f"of {len(kept)} prompt(s). What the evaluation CLIP sees, mean over prompts; it names "
        f"{100 * accuracy:.0f}% of the assets' own renders right. *Turn* is the value at the "
        "front's end minus that at the back's, with a 95% interval over prompts: a prior "
        "that obeys has 1 for front and -1 for back."
    )
    head = ["from back (0) to front (1)", *(f"{alpha:g}" for alpha in ALPHAS), "turn"]
    shown = [
        Picture(f"fig04_{slug(prompt)}.png", f"Back to front, raw and adapted: {prompt}.")
        for prompt in list(kept)[:_SHOWN]
    ]
    return Record(
        "Fig. 4: from back to front",
        [Text(about), Table(head, rows), *shown],
        dict(kept),
        quick,
        len(kept),
        len(prompts),
    )


def turn_of(seen: Sequence[Sequence[float]], place: int) -> float:
    """By how much a view's probability grows from the back's end to the front's."""
    return seen[-1][place] - seen[0][place]


def main() -> None:
    """Samples and writes the record."""
    arguments = figure_parser(__doc__, "2 prompts").parse_args()
    out = arguments.out.resolve()
    prompts = fronted_prompts(WORLDS["embedded"], 2 if arguments.quick else None)
    make = partial(measure, out, ClipViewJudge(evaluator()))
    recipe = digest(CONFIG.read_bytes(), ALPHAS, NUM_SAMPLES)
    kept = keep_each(out / "pieces" / "fig04", prompts, recipe, make)
    print(write_record(record(kept, prompts, arguments.quick), out / "fig04.json"))


if __name__ == "__main__":
    main()
