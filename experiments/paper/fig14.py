"""Fig. 14: the adapter's layers alone against layers and tokens, from the same noises.

``python -m experiments.paper.fig14 --out DIR`` trains both adapters of the test prompts with a
front (what fig04.py has trained there is kept) and writes ``DIR/fig14.json``, its page and its
pictures; ``--quick`` takes 2 prompts. It resumes, and may be started several times at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from experiments.paper.adapted import (
    CONFIG,
    LAYERS,
    LETTER_ADAPTER,
    RAW,
    VARIANTS,
    WHOLE,
    adapted,
    evaluator,
)
from experiments.paper.command_line import figure_parser, fronted_prompts
from experiments.paper.locks import digest, keep_each, slug
from experiments.paper.pictures import write_small_png
from experiments.paper.record import Part, Picture, Record, Table, Text, write_record
from experiments.paper.table1 import show_estimate
from experiments.paper.world import WORLDS
from redream.cameras import VIEW_NAMES
from redream.metrics import ClipViewJudge
from redream.metrics.prior_balance import balance_of
from redream.metrics.statistics import SHARE, estimate
from redream.tools.output import labelled_sheet

NUM_SAMPLES = 12
_SHOWN, _NOISES = 2, 8
PRIORS = {
    RAW: "raw",
    LAYERS: "layers only (a)",
    WHOLE: "layers and tokens (b)",
    LETTER_ADAPTER: "layers and tokens, Eq. 5 to the letter",
}


def measure(out: Path, judge: ClipViewJudge, prompt: str) -> dict[str, Any]:
    """Asks each prior for each view, and judges what is seen."""
    trained = {variant: adapted(prompt, out / "adapters", variant) for variant in VARIANTS}
    balances, rows = {}, []
    for prior, name in PRIORS.items():
        found = trained.get(prior, trained[WHOLE])
        pictures = {
            view: found.sample(prompt, view, NUM_SAMPLES, raw=prior == RAW) for view in VIEW_NAMES
        }
        seen = [judge.probabilities(prompt, each).argmax(1) for each in pictures.values()]
        asked = torch.arange(len(VIEW_NAMES)).repeat_interleave(NUM_SAMPLES)
        balances[prior] = asdict(balance_of(asked, torch.cat(seen)))
        rows += [(f"{name}: {prompt}, {view}", p[:_NOISES]) for view, p in pictures.items()]
    write_small_png(labelled_sheet(rows), out / f"fig14_{slug(prompt)}.png")
    return balances


def record(kept: Mapping[str, Any], prompts: Sequence[str], quick: bool) -> Record:
    """How evenly each prior covers the views, and whether it obeys."""
    rows = []
    for prior, name in PRIORS.items():
        balances = [each[prior] for each in kept.values()]
        measures = [[each["accuracy"][view] for each in balances] for view in VIEW_NAMES]
        measures += [
            [each[key] for each in balances] for key in ("front_given_back", "entropy", "imbalance")
        ]
        rows.append([name, *(show_estimate(estimate(each, SHARE)) for each in measures)])
    about = (
        f"{NUM_SAMPLES} pictures of each view from the same noises, {len(kept)} prompt(s), as the "
        "evaluation CLIP sees them; 95% intervals over prompts. Evenness is the "
        "normalised entropy of the views seen, 1 at best; imbalance their distance from even ones. "
        "(a) and (b) are trained as in configs/default.yaml, where views are contrasted, which is "
        "ours; the last row is the paper's rule."
    )
    head = ["prior", *(f'"{view}" obeyed' for view in VIEW_NAMES)]
    head += ['front where "back" was asked', "evenness", "imbalance"]
    shown = [
        Picture(f"fig14_{slug(prompt)}.png", f"{prompt}: a row for each view, a column a noise.")
        for prompt in list(kept)[:_SHOWN]
    ]
    title = "Fig. 14: layers only, layers and tokens"
    parts: list[Part] = [Text(about), Table(head, rows), *shown]
    return Record(title, parts, dict(kept), quick, len(kept), len(prompts))


def main() -> None:
    """Samples and writes the record."""
    arguments = figure_parser(__doc__, "2 prompts").parse_args()
    out = arguments.out.resolve()
    prompts = fronted_prompts(WORLDS["embedded"], 2 if arguments.quick else None)
    make = partial(measure, out, ClipViewJudge(evaluator()))
    recipe = digest(CONFIG.read_bytes(), NUM_SAMPLES)
    kept = keep_each(out / "pieces" / "fig14", prompts, recipe, make)
    print(write_record(record(kept, prompts, arguments.quick), out / "fig14.json"))


if __name__ == "__main__":
    main()
