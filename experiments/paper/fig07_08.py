"""Figs. 7 and 8: one asset under several prompts, and one prompt with several assets.

``python -m experiments.paper.fig07_08 --out DIR`` makes particles from a library of one asset each
(N = 1, K = 1) and writes ``DIR/fig07_08.json``, its page and its pictures; ``--quick`` takes the
first asset and the first prompts alone. It resumes, as table1.py does.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from experiments.paper.command_line import add_run_options, figure_parser, in_one_line
from experiments.paper.locks import slug
from experiments.paper.pictures import quarter_views, read_film, resized, write_small_png
from experiments.paper.record import Part, Picture, Record, Table, Text, write_record
from experiments.paper.runs import Run, execute_all
from experiments.paper.world import OURS, WORLDS
from redream.assets import AssetRenderer, FolderStore, align_front, load_mesh
from redream.cameras import turntable
from redream.mini.prepare import embedded_world
from redream.retrieval import EmbeddingIndex, Encoder, ExactRetriever
from redream.retrieval.writing import write_index
from redream.tools.output import labelled_sheet
from redream.types import Asset, TriangleMesh

_SIZE = 96


class Asked(NamedTuple):
    """A prompt, and what the one asset of its library is found by: a caption and a place."""

    prompt: str
    asset: str
    place: int = 0


FIG07 = (
    Asked("a spotted dog", "a clay dog"),
    Asked("a golden cat", "a clay dog"),
    Asked("a marble robot", "a clay dog"),
    Asked("a wooden elephant", "a clay dog"),
    Asked("a striped car", "a clay car"),
    Asked("a chequered bus", "a clay car"),
    Asked("a striped house", "a clay car"),
)
"""Prompts ever farther from their asset."""

FIG08 = (
    Asked("a golden cat", "a clay cat"),
    Asked("a golden cat", "a clay dog"),
    Asked("a golden cat", "a clay elephant"),
    Asked("a golden cat", "a clay cat", 1),
)
"""Assets ever farther from their prompt, and another of its kind."""

QUICK = (*FIG07[:3], *FIG08[:3])


def one_asset_index(asked: Asked, folder: Path) -> Asset:
    """Writes an index of one asset of the embedded library, unless it is there.

    Returns:
        The asset.
    """
    world = embedded_world()
    encoder = Encoder(str(world.retrieval_clip))
    asset = ExactRetriever(world.index, encoder).retrieve(asked.asset, asked.place + 1)[-1]
    if not folder.is_dir():
        whole = EmbeddingIndex.open(world.index)
        row = next(i for i in range(len(whole)) if whole.asset(i).uid == asset.uid)
        vectors = [each[np.array([row])] for each in (whole.text, whole.image)]
        reference = {"name": whole.encoder_name, "init_args": whole.encoder}
        write_index(folder, [whole.asset(row)], vectors[0], vectors[1], reference, whole.store)
    return asset


def run_of(asked: Asked, out: Path) -> Run:
    """The run of one particle."""
    index = index_of(asked, out)
    options = (f"--data.retriever.init_args.index={index}", "--data.num_assets=1")
    layers = tuple(WORLDS["embedded"].layers(OURS))
    return Run(f"{OURS}@{index.name}", asked.prompt, 0, layers, options, out / "runs")


def index_of(asked: Asked, out: Path) -> Path:
    """Where the index of its one asset is."""
    return out / "indices" / f"{slug(asked.asset)}-{asked.place}"


def silhouettes(mesh: TriangleMesh) -> Float[Tensor, "8 64 64"]:
    """A normalised mesh's outlines from all sides."""
    return AssetRenderer(mesh).render(turntable(8), 64, 64).opacity[:, 0]


def overlap(first: Float[Tensor, "B H W"], second: Float[Tensor, "B H W"]) -> float:
    """Intersection over union of outlines, mean over views: 1 where shapes look alike."""
    both = torch.minimum(first, second).sum((1, 2))
    either = torch.maximum(first, second).sum((1, 2))
    return float((both / either.clamp_min(1e-6)).mean())


def measure(run: Run, asset: Asset) -> dict[str, Any]:
    """How near a finished particle is to its asset, and how well it fits its prompt.

    Returns:
        Numbers, and ``views`` of the particle and of its ``asset``.
    """
    world = embedded_world()
    encoder = Encoder(str(world.retrieval_clip))
    mesh, _ = align_front(
        FolderStore(world.library).load(asset.uid),
        asset.caption,
        encoder.encode_images,
        encoder.encode_texts,
    )
    sides = AssetRenderer(mesh).render(turntable(8), _SIZE, _SIZE).over(torch.ones(1, 3, 1, 1))
    model = run.folder / "particle_0.glb"
    shape = overlap(silhouettes(mesh), silhouettes(load_mesh(model))) if model.is_file() else None
    return {
        "shape": shape,
        "clip_score": run.read()["measures"]["clip_score"],
        "asset": sides[[0, 3]],
        "views": resized(quarter_views(read_film(run.folder / "turntable_0.mp4")), _SIZE),
    }


def record(
    measured: Mapping[Asked, Mapping[str, Any]],
    pictures: Sequence[Picture],
    num_planned: int,
    quick: bool,
) -> Record:
    """How far particles go from their asset, by prompt and by asset."""
    rows, numbers = [], []
    for figure, members in (("7", FIG07), ("8", FIG08)):
        for asked in members:
            if asked not in measured:
                continue
            facts = {key: measured[asked][key] for key in ("shape", "clip_score")}
            shape = "no surface" if facts["shape"] is None else f"{facts['shape']:.2f}"
            rows.append([figure, name_of(asked), asked.prompt, shape, f"{facts['clip_score']:.3f}"])
            numbers.append({"figure": figure, **asked._asdict(), **facts})
    about = (
        "One asset is all the library there is. Overlap of the particle's outlines with its "
        "asset's, from 8 sides, both scaled to one size: 1 is the asset's shape. The score is the "
        "evaluation CLIP's."
    )
    head = ["Fig.", "asset", "prompt", "overlap of outlines", "CLIP score"]
    parts: list[Part] = [Text(about), Table(head, rows), *pictures]
    title = "Figs. 7 and 8: prompts of one asset, assets of one prompt"
    return Record(title, parts, numbers, quick, len(measured), num_planned)


def name_of(asked: Asked) -> str:
    """What an asset is called."""
    return asked.asset if asked.place == 0 else f"{asked.asset}, no. {asked.place + 1}"


def main() -> int:
    """Makes the particles and writes the record."""
    parser = figure_parser(__doc__, "one asset, 3 prompts; one prompt, 3 assets")
    add_run_options(parser)
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    every = list(dict.fromkeys(QUICK if arguments.quick else (*FIG07, *FIG08)))
    assets = {asked: one_asset_index(asked, index_of(asked, out)) for asked in every}
    runs = {asked: run_of(asked, out) for asked in every}
    failures = [] if arguments.report else execute_all([*runs.values()], arguments.processes)
    measured = {
        asked: measure(run, assets[asked]) for asked, run in runs.items() if run.done() is not None
    }
    shown = []
    for file, says, members in (
        ("fig07.png", "Fig. 7: prompts of one asset, which stands at the left.", FIG07),
        ("fig08.png", "Fig. 8: assets, at the left, of one prompt.", FIG08),
    ):
        rows = [
            (f"{name_of(asked)}: {asked.prompt}", torch.cat([each["asset"], each["views"]]))
            for asked, each in measured.items()
            if asked in members
        ]
        if rows:
            write_small_png(labelled_sheet(rows), out / file)
            shown.append(Picture(file, says))
    found = record(measured, shown, len(every), arguments.quick)
    print(write_record(found, out / "fig07_08.json"))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(in_one_line(main))
