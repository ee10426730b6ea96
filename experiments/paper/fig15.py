"""Fig. 15: prompts that drift away from the asset which the adapter was trained on.

``python -m experiments.paper.fig15 --out DIR`` samples the adapters of the test prompts with a
front (what fig04.py has trained there is kept) and writes ``DIR/fig15.json``, its page and its
pictures; ``--quick`` takes 2 prompts. It resumes, and may be started several times at once.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.paper.adapted import CONFIG, RAW, WHOLE, Adapted, adapted, evaluator
from experiments.paper.command_line import figure_parser, fronted_prompts
from experiments.paper.locks import digest, keep_each, slug
from experiments.paper.pictures import write_small_png
from experiments.paper.record import Part, Picture, Record, Table, Text, write_record
from experiments.paper.world import WORLDS
from redream.cameras import VIEW_NAMES
from redream.metrics import ClipViewJudge
from redream.mini.materials import MATERIALS
from redream.mini.recognition import recognise
from redream.retrieval import Encoder
from redream.tools.output import labelled_sheet

NUM_SAMPLES = 8
_SHOWN, _NOISES = 2, 2
RUNGS = ("the prompt", "another material", "another object", "both")


def drift(prompt: str, prompts: Sequence[str]) -> list[str]:
    """A prompt, and others ever farther from its asset: a rung of :data:`RUNGS` each.

    Args:
        prompt: "a MATERIAL CATEGORY".
        prompts: Prompts with a front, among which the other object is the next one's.

    Returns:
        The prompts.
    """
    _, material, category = prompt.split()
    painted = [name for name in MATERIALS if name != "plain"]
    other = painted[(painted.index(material) + 1) % len(painted)]
    away = prompts[(list(prompts).index(prompt) + 1) % len(prompts)].split()[-1]
    return [f"a {m} {c}" for m, c in ((material, category), (other, category))] + [
        f"a {m} {away}" for m in (material, other)
    ]


def nearness(encoder: Encoder, pictures: Float[Tensor, "B 3 H W"], found: Adapted) -> float:
    """Mean cosine of pictures and the assets' renders: what an overfitted prior has too much of."""
    assets = torch.as_tensor(encoder.encode_images(found.over_white)).mean(0)
    return float((torch.as_tensor(encoder.encode_images(pictures)) @ assets).mean())


def measure(out: Path, encoder: Encoder, everyone: Sequence[str], prompt: str) -> dict[str, Any]:
    """Samples both priors on every rung, and says what is seen."""
    found, judge = adapted(prompt, out / "adapters"), ClipViewJudge(encoder)
    rungs: list[dict[str, Any]] = []
    rows = []
    for rung in drift(prompt, everyone):
        facts: dict[str, Any] = {"prompt": rung}
        pair = (rung.split()[1], rung.split()[2])
        for prior in (RAW, WHOLE):
            views = [found.sample(rung, view, NUM_SAMPLES, raw=prior == RAW) for view in VIEW_NAMES]
            pictures = torch.cat(views)
            seen = torch.stack([judge.probabilities(rung, each).argmax(1) for each in views])
            named = recognise(encoder, [pair] * len(pictures), pictures)
            facts[prior] = {
                "views": float((seen == torch.arange(len(views))[:, None]).float().mean()),
                "category": named.category,
                "material": named.material,
                "nearness": nearness(encoder, pictures, found),
            }
            name = "raw" if prior == RAW else "adapted"
            shown = torch.cat([each[:_NOISES] for each in views])
            rows.append((f"{name}: {rung}; front, side, back", shown))
        rungs.append(facts)
    write_small_png(labelled_sheet(rows), out / f"fig15_{slug(prompt)}.png")
    return {"rungs": rungs}


def record(kept: Mapping[str, Any], prompts: Sequence[str], quick: bool) -> Record:
    """What the adapter keeps and what it spoils, the farther prompts are from its asset."""
    measures = {
        "views": "views obeyed",
        "category": "object named right",
        "material": "material named right",
        "nearness": "nearness to the assets",
    }
    rows = []
    for place, rung in enumerate(RUNGS):
        facts = [each["rungs"][place] for each in kept.values()]
        cells = [
            " / ".join(f"{mean(each[prior][key] for each in facts):.2f}" for prior in (RAW, WHOLE))
            for key in measures
        ]
        rows.append([rung, *cells])
    about = (
        f"{3 * NUM_SAMPLES} pictures a prompt and prior, adapters of {len(kept)} prompt(s); the "
        "assets are of clay and of the first two rungs' category. Each cell is the raw prior's "
        "mean, then the adapted one's, as the evaluation CLIP sees it. An adapter that overfits "
        "names fewer objects and materials right as prompts drift, and comes nearer to its assets, "
        "a mean cosine."
    )
    shown = [
        Picture(f"fig15_{slug(prompt)}.png", f"Drifting away from the assets of: {prompt}.")
        for prompt in list(kept)[:_SHOWN]
    ]
    parts: list[Part] = [
        Text(about),
        Table(["prompt (raw / adapted)", *measures.values()], rows),
        *shown,
    ]
    title = "Fig. 15: does adaptation overfit?"
    return Record(title, parts, dict(kept), quick, len(kept), len(prompts))


def main() -> None:
    """Samples and writes the record."""
    arguments = figure_parser(__doc__, "2 prompts").parse_args()
    out = arguments.out.resolve()
    everyone = fronted_prompts(WORLDS["embedded"])
    prompts = everyone[: 2 if arguments.quick else None]
    make = partial(measure, out, evaluator(), everyone)
    recipe = digest(CONFIG.read_bytes(), NUM_SAMPLES, everyone)
    kept = keep_each(out / "pieces" / "fig15", prompts, recipe, make)
    print(write_record(record(kept, prompts, arguments.quick), out / "fig15.json"))


if __name__ == "__main__":
    main()
