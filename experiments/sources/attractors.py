"""What helps when? Retrieved, generated and mixed assets, with thinned and wrong libraries.

``python -m experiments.sources.attractors --out DIR`` asks each source for three assets of every
test prompt of the embedded world and measures their shapes against individuals of the prompt's
category. A generator errs: the embedded one does so by a noise of its shapes. ``--objects`` makes
the objects of the runs instead, as splats that start on the first attractor, which takes three
minutes of a processor each. What is measured is kept in ``DIR``: the command goes on where it was
stopped, by ``--minutes`` of processor time or otherwise. ``--page`` puts the table into a page.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from benchmarks.page import put, require_place
from experiments.paper.command_line import in_one_line
from experiments.paper.provenance import command, commit
from experiments.paper.runs import Run, execute_all
from experiments.paper.shape import individuals, visible_points
from experiments.paper.thinned import category_of, write_library_index
from experiments.paper.world import OURS, ROOT, WORLDS, read_prompts
from experiments.sources.turned import shape_f_score_of_any_turn
from redream.assets import load_mesh
from redream.files import whole_file
from redream.metrics.statistics import (
    FEWEST,
    SHARE,
    Comparison,
    Estimate,
    compare_paired,
    decided,
    estimate,
    holm,
)
from redream.mini.generator import EmbeddedGenerator
from redream.mini.prepare import embedded_world
from redream.mini.store import EmbeddedLibrary
from redream.retrieval import Encoder, ExactRetriever
from redream.sources import GenerativeRetriever, MixedRetriever, Source
from redream.sources.mixed import score_of
from redream.types import Asset, TriangleMesh

LIBRARIES = {
    "whole": "the whole library", "32nd": "a 32nd of it", "wrong": "all but the prompt's category",
}  # fmt: skip
NOISES = (0.04, 0.12)
NUM = 3
MARKS = {False: "attractors", True: "objects"}
"""Where a page has the table, by ``--objects``."""
_WHOLE, _NONE = "whole", "none"
_OBJECTS = (ROOT / "configs" / "splats.yaml", Path(__file__).with_name("objects.yaml"))


class Case(NamedTuple):
    """A source of attractors.

    Attributes:
        source: ``retrieved``, ``generated`` or ``mixed``.
        library: One of :data:`LIBRARIES`; ``none`` where nothing is retrieved.
        noise: The generator's; 0 where nothing is generated.
    """

    source: str
    library: str
    noise: float

    @property
    def title(self) -> str:
        """In words."""
        noise = f"generator of noise {self.noise:g}"
        library = LIBRARIES.get(self.library, "")
        return {
            "retrieved": f"retrieved from {library}",
            "generated": noise,
            "mixed": f"mixed: {library}, {noise}",
        }[self.source]


def cases(
    libraries: Sequence[str] = tuple(LIBRARIES), noises: Sequence[float] = NOISES
) -> list[Case]:
    """The sources that are compared.

    Args:
        libraries: Which of :data:`LIBRARIES`; generators alone are compared with the whole one, and
            left out without it.
        noises: Of the generators.
    """
    found = [Case("retrieved", library, 0.0) for library in libraries]
    for noise in noises:
        found += [Case("generated", _NONE, noise)] * (_WHOLE in libraries)
        found += [Case("mixed", library, noise) for library in libraries]
    return found


class Bench:
    """The sources, and what was measured of their assets.

    Args:
        out: Where indices, meshes and measures are kept.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.encoder = Encoder(str(embedded_world().retrieval_clip))
        self.floor = self._floor()

    def _floor(self) -> float:
        """What a good library reaches: the first quartile of its best scores on tuning prompts."""
        tuning = WORLDS["embedded"].tuning
        assert tuning is not None
        retriever = ExactRetriever(embedded_world().index, self.encoder)
        best = [score_of(retriever.retrieve(each, 1)[0]) for each in read_prompts(tuning)]
        return float(np.quantile(best, 0.25))

    def retriever(self, case: Case, prompt: str) -> MixedRetriever:
        """A case's source, in a mixture of one or two."""
        sources = {}
        if case.library != _NONE:
            index = write_library_index(case.library, prompt, self.out)
            sources["library"] = Source(ExactRetriever(index, self.encoder), EmbeddedLibrary())
        if case.noise > 0.0:
            generator = EmbeddedGenerator(case.noise)
            cache = self.out / "generated"
            made = GenerativeRetriever(generator, self.encoder, NUM, cache_dir=cache)
            sources["generated"] = Source(made)
        return MixedRetriever(sources, floor=self.floor if case.source == "mixed" else None)

    def measure(self, case: Case, prompt: str) -> dict[str, float]:
        """Mean shape F-score of the attractors, and how many were generated."""
        retriever = self.retriever(case, prompt)
        found = retriever.retrieve(prompt, NUM)
        scores = [self._f_score(retriever, asset, category_of(prompt)) for asset in found]
        return {"f_score": float(np.mean(scores)), "num_generated": _num_generated(found)}

    def num_generated(self, case: Case, prompt: str) -> float:
        """How many of the attractors are generated."""
        return _num_generated(self.retriever(case, prompt).retrieve(prompt, NUM))

    def _f_score(self, retriever: MixedRetriever, asset: Asset, category: str) -> float:
        return self._kept(
            f"{asset.uid} {category} of any turn", lambda: retriever.store.load(asset.uid), category
        )

    def f_score_of_object(self, run: Run, category: str) -> float:
        """Shape F-score of what a run has made; one that found no surface scores 0."""
        model = run.folder / "particle_0.glb"
        if not model.is_file():
            return 0.0
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        return self._kept(f"{digest} {category}", lambda: load_mesh(model), category)

    def _kept(self, name: str, mesh: Callable[[], TriangleMesh], category: str) -> float:
        """The shape F-score of a mesh, which is measured once."""
        key = hashlib.sha256(name.encode()).hexdigest()[:24]
        path = self.out / "shapes" / f"{key}.json"
        if not path.is_file():
            made = mesh()
            points = visible_points(made.vertices, made.faces)
            value = shape_f_score_of_any_turn(points, individuals(category))
            with whole_file(path) as temporary:
                temporary.write_text(json.dumps(value))
        return float(json.loads(path.read_text()))


def _num_generated(found: Sequence[Asset]) -> float:
    return float(sum(asset.origin == "generated" for asset in found))


def measured(
    bench: Bench, prompts: Sequence[str], compared: Sequence[Case], minutes: float
) -> dict[str, dict[str, Any]]:
    """The measures by prompt and case; those of whole prompts, as far as the time goes."""
    end = time.process_time() + 60.0 * minutes
    found: dict[str, dict[str, Any]] = {}
    for prompt in prompts:
        if time.process_time() > end:
            break
        found[prompt] = {each.title: bench.measure(each, prompt) for each in compared}
        print(f"{len(found)}/{len(prompts)}: {prompt}", file=sys.stderr, flush=True)
    return found


def rows_of(values: Mapping[str, Mapping[str, Any]], compared: Sequence[Case]) -> list[str]:
    """The table in Markdown: means, and differences to retrieval from the same library."""
    rows, ps, means = [], [], []
    for case in compared:
        mine = {prompt: cells[case.title]["f_score"] for prompt, cells in values.items()}
        made = np.mean([cells[case.title]["num_generated"] for cells in values.values()])
        base = Case("retrieved", _WHOLE if case.library == _NONE else case.library, 0.0)
        other = {prompt: cells[base.title]["f_score"] for prompt, cells in values.items()}
        means.append((case, estimate(list(mine.values()), SHARE), made))
        difference = None if case == base else compare_paired(mine, other, SHARE)
        rows.append(difference)
        ps += [] if difference is None else [difference.p]
    adjusted = iter(holm(ps))
    lines = ["| attractors | shape F-score | generated of 3 | beside retrieval alone | p (Holm) |"]
    lines.append("|---|---|---|---|---|")
    for (case, mean, made), difference in zip(means, rows, strict=True):
        cells = [case.title, f"{mean.mean:.3f}{interval(mean)}", f"{made:.1f}"]
        if difference is None:
            cells += ["", ""]
        else:
            p = next(adjusted)
            word = "" if decided(p, difference.num) else " undecided"
            cells.append(f"{difference.difference:+.3f}{interval(difference, '+')}")
            cells.append(f"{p:.3f}{word}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def interval(of: Estimate | Comparison, sign: str = "") -> str:
    """The interval in brackets; a single prompt has none."""
    return f" [{of.low:{sign}.3f}, {of.high:{sign}.3f}]" if of.num > 1 else ""


def table(
    values: Mapping[str, Mapping[str, Any]],
    num_planned: int,
    floor: float,
    compared: Sequence[Case],
    of_objects: bool = False,
) -> str:
    """The table in Markdown, with what it says and how it was made."""
    what = "Mean shape F-score of the three assets that a run would be attracted to"
    if of_objects:
        what = (
            "Mean shape F-score of the objects, one particle of splats each, one seed, which start "
            "on the first of three attractors (configs/splats.yaml)"
        )
    few = "" if len(values) >= FEWEST else f"; fewer than {FEWEST} prompts decide nothing"
    about = (
        f"Made by `{command()}` at commit {commit()}: {len(values)} of {num_planned} test prompts. "
        f"{what}, whichever way they face, 95% intervals over prompts{few}. The floor of the "
        f"mixtures is {floor:.3f}, the first quartile of the best scores of the tuning prompts. "
        "Differences are paired, to retrieval from the same library (generators alone: from the "
        "whole one)."
    )
    return "\n".join([about, "", *rows_of(values, compared)])


def plan_objects(
    prompts: Sequence[str], compared: Sequence[Case], bench: Bench
) -> dict[str, dict[str, Run]]:
    """The runs whose attractors each case gives, by prompt and case."""
    runs: dict[str, dict[str, Run]] = {}
    for prompt in prompts:
        for case in compared:
            overlay = bench.out / "overlays" / f"{slug_of(case, prompt)}.yaml"
            overlay.parent.mkdir(parents=True, exist_ok=True)
            overlay.write_text(yaml.safe_dump({"data": data_of(case, prompt, bench)}))
            layers = (WORLDS["embedded"].config, *_OBJECTS, overlay)
            name = f"{OURS}@{slug_of(case, '')}"
            run = Run(name, prompt, 0, layers, (), bench.out.resolve() / "runs")
            runs.setdefault(prompt, {})[case.title] = run
    return runs


def slug_of(case: Case, prompt: str) -> str:
    """A short name of a case, and of a prompt where there is one."""
    words = f"{case.source}-{case.library}-{case.noise:g}-{prompt.replace(' ', '-')}"
    return words.strip("-")


def data_of(case: Case, prompt: str, bench: Bench) -> dict[str, Any]:
    """What a run's config says of a case's sources."""
    encoder = {"model": "embedded:retrieval_clip"}
    sources: dict[str, Any] = {}
    if case.library != _NONE:
        index = write_library_index(case.library, prompt, bench.out)
        exact = {"class_path": "ExactRetriever", "init_args": {"index": str(index.resolve())}}
        sources["library"] = {"retriever": exact, "store": {"class_path": "EmbeddedLibrary"}}
    if case.noise > 0.0:
        generator = {"class_path": "EmbeddedGenerator", "init_args": {"noise": case.noise}}
        arguments = {"generator": generator, "encoder": encoder, "num_meshes": NUM}
        made = {"class_path": "GenerativeRetriever", "init_args": arguments}
        sources["generated"] = {"retriever": made}
    mixed: dict[str, Any] = {"sources": sources}
    if case.source == "mixed":
        mixed["floor"] = bench.floor
    return {"retriever": {"class_path": "MixedRetriever", "init_args": mixed}, "store": None}


def objects(
    bench: Bench,
    prompts: Sequence[str],
    compared: Sequence[Case],
    minutes: float = np.inf,
    num_processes: int = 1,
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Makes the objects that are missing, prompt by prompt as far as the time goes.

    Returns:
        Shape F-scores of prompts that have all their objects, with how many of the attractors were
        generated; and what failed.
    """
    found: dict[str, dict[str, Any]] = {}
    failures: list[str] = []
    end = _of_children() + 60.0 * minutes
    for prompt, runs in plan_objects(prompts, compared, bench).items():
        if _of_children() < end:
            failures += execute_all(list(runs.values()), num_processes)
        if all(run.done() is not None for run in runs.values()):
            found[prompt] = {
                case.title: {
                    "f_score": bench.f_score_of_object(runs[case.title], category_of(prompt)),
                    "num_generated": bench.num_generated(case, prompt),
                }
                for case in compared
            }
    return found, failures


def _of_children() -> float:
    """Processor seconds of the processes that this one has waited for."""
    times = os.times()
    return times.children_user + times.children_system


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="what is measured is kept here")
    parser.add_argument("--prompts", type=int, help="so many of the test prompts; all by default")
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--noises", nargs="+", type=float, default=list(NOISES))
    parser.add_argument("--minutes", type=float, default=np.inf, help="of processor time")
    parser.add_argument("--objects", action="store_true", help="make and measure the objects")
    parser.add_argument("--processes", type=int, default=1, help="that make objects")
    parser.add_argument("--page", type=Path, help="put the table between its marks of this page")
    options = parser.parse_args(arguments)
    if options.page is not None:
        try:
            require_place(options.page, MARKS[options.objects])
        except (ValueError, OSError) as error:
            parser.error(str(error))
    options.out.mkdir(parents=True, exist_ok=True)
    bench, compared = Bench(options.out), cases(options.libraries, options.noises)
    all_prompts = read_prompts(WORLDS["embedded"].prompts)
    prompts, failures = all_prompts[: options.prompts], list[str]()
    if options.objects:
        values, failures = objects(bench, prompts, compared, options.minutes, options.processes)
    else:
        values = measured(bench, prompts, compared, options.minutes)
    if not values:
        raise SystemExit(f"no prompt has all its measures in {options.out} yet")
    text = table(values, len(all_prompts), bench.floor, compared, options.objects)
    with whole_file(options.out / f"{MARKS[options.objects]}.md") as temporary:
        temporary.write_text(text + "\n", "utf-8")
    print(text)
    if options.page is not None:
        put(options.page, MARKS[options.objects], text)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(in_one_line(main))
