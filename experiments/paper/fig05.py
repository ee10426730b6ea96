"""Fig. 5: the neighbours of a prompt by captions, by pictures, and in the paper's two stages.

``python -m experiments.paper.fig05 --out DIR`` asks for the 24 test prompts and writes
``DIR/fig05.json``, its page and its picture; ``--quick`` takes 6.
"""

from collections.abc import Mapping, Sequence
from statistics import mean

import torch

from experiments.paper.command_line import figure_parser
from experiments.paper.pictures import write_small_png
from experiments.paper.record import Picture, Record, Table, Text, write_record
from experiments.paper.world import WORLDS, read_prompts
from redream.assets import FolderStore
from redream.mini.prepare import embedded_world
from redream.retrieval import Encoder, ExactRetriever
from redream.tools.output import labelled_sheet
from redream.tools.retrieve import show

RANKINGS = {"text": "captions", "image": "pictures", "two_stage": "captions, then pictures"}
NUM_ASSETS = 5

Neighbours = Mapping[str, Mapping[str, Sequence[str]]]
"""The nearest captions, best first, by prompt and ranking."""


def names_category(caption: str, prompt: str) -> bool:
    """Whether a caption names the prompt's category, its last word."""
    return prompt.split()[-1] in caption.replace(",", " ").split()


def record(
    captions: Neighbours, uids: Neighbours, pictures: Sequence[Picture], quick: bool
) -> Record:
    """How often each ranking finds the prompt's category, and how far rankings agree."""
    head = ["ranked by", "right category, nearest", f"right category, {NUM_ASSETS} nearest"]
    rows, numbers = [], {}
    for ranking, name in RANKINGS.items():
        right = [
            [names_category(caption, prompt) for caption in by_ranking[ranking]]
            for prompt, by_ranking in captions.items()
        ]
        numbers[ranking] = {
            "nearest": mean(hits[0] for hits in right),
            "all": mean(sum(hits) / len(hits) for hits in right),
            "shared_with_text": mean(
                len(set(each["text"]) & set(each[ranking])) / len(each["text"])
                for each in uids.values()
            ),
        }
        rows.append([name, *(f"{100 * share:.0f}%" for share in numbers[ranking].values())])
    about = Text(
        f"The {NUM_ASSETS} nearest assets of {len(captions)} prompts. The library is of clay, so "
        "no asset has a prompt's material; its category is the most that can be right."
    )
    table = Table([*head, "shared with captions"], rows)
    kept = {"rankings": numbers, "captions": captions, "uids": uids}
    num = len(captions)
    return Record(
        "Fig. 5: text against image neighbours", [about, table, *pictures], kept, quick, num, num
    )


def main() -> None:
    """Retrieves and writes the record."""
    arguments = figure_parser(__doc__, "6 prompts").parse_args()
    out = arguments.out.resolve()
    prompts = read_prompts(WORLDS["embedded"].prompts)[: 6 if arguments.quick else None]
    world = embedded_world()
    encoder, store = Encoder(str(world.retrieval_clip)), FolderStore(world.library)
    captions: dict[str, dict[str, list[str]]] = {prompt: {} for prompt in prompts}
    uids: dict[str, dict[str, list[str]]] = {prompt: {} for prompt in prompts}
    for ranking in RANKINGS:
        retriever = ExactRetriever(world.index, encoder, ranking=ranking)  # type: ignore[arg-type]
        for prompt in prompts:
            assets = retriever.retrieve(prompt, NUM_ASSETS)
            captions[prompt][ranking] = [asset.caption for asset in assets]
            uids[prompt][ranking] = [asset.uid for asset in assets]
    differ = sorted(prompts, key=lambda p: len({*uids[p]["text"]} & {*uids[p]["image"]}))
    rows = [
        (f"{prompt}, by {RANKINGS[ranking]}", torch.cat([show(store, uid, 1, 96) for uid in found]))
        for prompt in differ[:3]
        for ranking, found in uids[prompt].items()
    ]
    write_small_png(labelled_sheet(rows), out / "fig05.png")
    shown = Picture("fig05.png", "Nearest assets of the prompts whose rankings differ most.")
    print(write_record(record(captions, uids, [shown], arguments.quick), out / "fig05.json"))


if __name__ == "__main__":
    main()
