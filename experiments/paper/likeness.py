"""Which assets would a least likeness leave out? Right ones of a prompt, and wrong ones.

``python -m experiments.paper.likeness --out DIR`` asks the embedded library for the prompts of
``prompts/embedded_*.txt``: the three nearest assets, which ``data.num_assets`` takes, and the
nearest of another category, which would be taken where the prompt's own is missing. It writes
``DIR/likeness.json`` and its page, in seconds. ``data.least_likeness`` was set on the tuning
prompts; the others say what it does. ``--quick`` takes 4 prompts of each file.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.paper.command_line import figure_parser
from experiments.paper.fresh import PROMPTS as FRESH
from experiments.paper.record import Record, Table, Text, write_record
from experiments.paper.thinned import category_of
from experiments.paper.world import WORLDS, read_prompts
from redream.mini.prepare import embedded_world
from redream.retrieval import ExactRetriever

NUM_ASSETS = 3
LEAST = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
TITLE = "Which assets a least likeness leaves out"


class Likenesses(NamedTuple):
    """How like a prompt assets are.

    Attributes:
        right: The nearest three, those of the prompt's category, best first.
        wrong: The nearest of another category.
    """

    right: list[float]
    wrong: float


def likenesses(retriever: ExactRetriever, prompt: str) -> Likenesses:
    """Looks up a prompt's nearest assets, and the nearest of another category."""
    ranked = retriever.retrieve(prompt, len(retriever.index))
    values = [retriever.likeness(asset) or 0.0 for asset in ranked]
    is_right = [category_of(asset.caption) == category_of(prompt) for asset in ranked]
    right = [value for value, hit in zip(values[:NUM_ASSETS], is_right, strict=False) if hit]
    return Likenesses(right, next(v for v, hit in zip(values, is_right, strict=True) if not hit))


def left_out(found: Sequence[Likenesses], least: float) -> list[str]:
    """What a least likeness leaves out.

    Args:
        found: Of some prompts.
        least: The least likeness.

    Returns:
        Right assets, prompts whose nearest is right and would be, and wrong assets: how many of
        how many.
    """
    right = [value for each in found for value in each.right]
    first = [each.right[0] for each in found if each.right]
    wrong = [each.wrong for each in found]
    return [
        f"{sum(value < least for value in values)} of {len(values)}"
        for values in (right, first, wrong)
    ]


def record(found: Mapping[str, Mapping[str, Likenesses]], quick: bool) -> Record:
    """A row for each least likeness, of the tuning prompts and of the others.

    Args:
        found: By ``tuning`` and ``others``, and by prompt.
        quick: Whether it is from ``--quick``.
    """
    about = (
        "Likeness is the cosine of a prompt and an asset's pictures, where 0 is the mean of two "
        "assets' captions and pictures and 1 the median of an asset's own. Right are those of the "
        f"prompt's category among the {NUM_ASSETS} nearest of the whole library, wrong is the "
        "nearest of another category, one a prompt. The value that `data.least_likeness` has was "
        "chosen on the tuning prompts, somewhat below their least right asset, so that what is "
        "right stays."
    )
    head = ["least likeness", "prompts", "right left out", "of these the nearest", "wrong left out"]
    rows = [
        [f"{least:g}", f"{len(each)} {name}", *left_out(list(each.values()), least)]
        for least in LEAST
        for name, each in found.items()
    ]
    numbers: dict[str, Any] = {
        name: {prompt: each._asdict() for prompt, each in mine.items()}
        for name, mine in found.items()
    }
    num = sum(map(len, found.values()))
    return Record(TITLE, [Text(about), Table(head, rows)], numbers, quick, num, num)


def main() -> None:
    """Looks up all prompts and writes the record."""
    arguments = figure_parser(__doc__, "4 prompts of each file").parse_args()
    world, retriever = WORLDS["embedded"], ExactRetriever(embedded_world().index)
    assert world.tuning is not None
    files = {"tuning": [world.tuning], "others": [world.prompts, FRESH]}
    found = {
        name: {
            prompt: likenesses(retriever, prompt)
            for path in paths
            for prompt in read_prompts(path)[: 4 if arguments.quick else None]
        }
        for name, paths in files.items()
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(write_record(record(found, arguments.quick), arguments.out / "likeness.json"))


if __name__ == "__main__":
    main()
