"""Measures the metrics themselves on objects whose every side is known: docs/metrics_check.md.

``python -m benchmarks.metrics`` renders the embedded world's own objects for the 24 test prompts as
Table 1 renders particles: what they score is the most that a method can be asked for. Then it
spoils them in known ways.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
import torch
import trimesh
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from benchmarks.page import put
from experiments.paper.own_objects import NUM_VIEWS, SIZE, judges, measure, pictures_of, scene_of
from experiments.paper.provenance import command, commit
from experiments.paper.shape import shape_of_scene
from experiments.paper.world import WORLDS, derive, read_prompts
from redream.cameras import turntable
from redream.files import whole_file
from redream.metrics import PatternScore
from redream.mini.prepare import WEIGHTS
from redream.mini.repainted import with_mean_colour, with_one_sided_pattern
from redream.mini.scene import Scene
from redream.mini.two_faced import with_second_face
from redream.retrieval import Encoder

SHOWN = ("clip_score", "rank", "r_precision", "a_lpips_embedded", "a_lpips_embedded_max")
MELTED = (0.0, 0.25, 0.5, 0.75, 1.0)


def melt(scene: Scene, share: float) -> Scene:
    """Moves every vertex by a share of its way to a ball of the scene's mean radius."""
    radii = np.linalg.norm(scene.vertices, axis=1, keepdims=True)
    ball = scene.vertices * (radii.mean() / np.maximum(radii, 1e-6))
    vertices = ((1.0 - share) * scene.vertices + share * ball).astype(scene.vertices.dtype)
    mesh = trimesh.Trimesh(vertices, scene.faces, process=False)
    normals = np.asarray(mesh.vertex_normals, scene.normals.dtype)
    return replace(scene, vertices=vertices, normals=normals)


def blur(sigma: float) -> Callable[[Tensor], Tensor]:
    """Blurs pictures; ``sigma`` in pixels."""
    return lambda pictures: gaussian_blur(pictures, 4 * int(sigma) + 5, sigma)


def shuffle(share: float) -> Callable[[Tensor], Tensor]:
    """Lets a share of the views trade places."""

    def shuffled(pictures: Tensor) -> Tensor:
        order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
        chosen = order[: round(share * len(pictures))]
        moved = torch.arange(len(pictures))
        moved[chosen] = chosen.roll(1)
        return pictures[moved]

    return shuffled


SPOILED: dict[str, Callable[[Tensor], Tensor]] = {
    "as they are": lambda pictures: pictures,
    **{f"blurred by {sigma:g} pixels": blur(sigma) for sigma in (1.0, 2.0, 4.0, 8.0)},
    **{f"{share:.0%} of views shuffled": shuffle(share) for share in (0.25, 0.5, 1.0)},
}


REPAINTED: dict[str, Callable[[Scene], Scene]] = {
    "as it is": lambda scene: scene,
    "its pattern on the front half alone": with_one_sided_pattern,
    "its mean colour instead": with_mean_colour,
    "a ball of its mean colour": lambda scene: melt(with_mean_colour(scene), 1.0),
}
COLOURLIKE = ("wooden", "marble", "golden")


def patterns_of(prompt: str, scene: Scene, metric: PatternScore) -> dict[str, dict[str, float]]:
    """The pattern score of a scene, and of it repainted, by the name of the repainting."""
    views = turntable(metric.num_views)
    return {
        name: metric.measure(prompt, pictures_of(repaint(scene), metric.num_views), views)
        for name, repaint in REPAINTED.items()
    }


def measure_patterns(num: int | None = None) -> list[str]:
    """Measures the pattern score of the first ``num`` test prompts' objects, and words it."""
    metric = PatternScore(Encoder(str(WEIGHTS / "evaluation_clip")))
    prompts = read_prompts(WORLDS["embedded"].prompts)[:num]
    patterns = {
        prompt: patterns_of(prompt, scene_of(prompt, seed), metric)
        for seed, prompt in enumerate(prompts)
    }
    made = f"The next table: made by `{command()}` at commit {commit()}."
    return [made, "", *pattern_lines(patterns)]


def pattern_lines(patterns: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """The table of pattern scores.

    Args:
        patterns: What :func:`patterns_of` gave, by prompt.
    """
    groups = {
        "stripes, spots, checks": [p for p in patterns if p.split()[1] not in COLOURLIKE],
        ", ".join(COLOURLIKE): [p for p in patterns if p.split()[1] in COLOURLIKE],
    }
    heads = [f"{name}: {of} ({len(prompts)})" for name, prompts in groups.items() for of in
             ("azimuths right", "whole right")]  # fmt: skip
    lines = ["Pattern score over 8 azimuths of the same objects, painted in known ways:", ""]
    lines += [f"| painted | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name in REPAINTED:
        cells = [
            f"{mean(patterns[prompt][name][key] for prompt in prompts):.2f}"
            for prompts in groups.values()
            for key in ("pattern_score", "pattern_right")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num_views", type=int, default=NUM_VIEWS, help="default: %(default)s")
    parser.add_argument("--prompts", type=int, help="so many; all by default")
    parser.add_argument("--num_spoiled", type=int, default=6, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("docs/metrics_check.md"))
    parser.add_argument("--only", choices=["patterns"], help="measure these anew, keep the rest")
    arguments = parser.parse_args()
    if arguments.only:
        put(arguments.out, "patterns", "\n".join(measure_patterns(arguments.prompts)))
        return
    world = WORLDS["embedded"]
    score, distance, fronts, pattern = judges()
    of_pictures = (score, distance, pattern)
    truth = []
    spoiled: dict[str, list[dict[str, float]]] = {name: [] for name in SPOILED}
    melted: dict[float, list[dict[str, float]]] = {share: [] for share in MELTED}
    faces: dict[int, list[float]] = {1: [], 2: []}
    for seed, prompt in enumerate(read_prompts(world.prompts)[: arguments.prompts]):
        scene = scene_of(prompt, seed)
        pictures = pictures_of(scene, arguments.num_views)
        measured = measure(of_pictures, prompt, pictures) | shape_of_scene(scene)
        if world.has_front(prompt):
            measured |= derive(measure([fronts], prompt, pictures))
            faces[1].append(measured["num_fronts"])
            two = pictures_of(with_second_face(scene), fronts.num_views)
            faces[2].append(measure([fronts], prompt, two)["num_fronts"])
        truth.append(measured)
        print(prompt, measured, flush=True)
        if seed < arguments.num_spoiled:
            for name, spoil in SPOILED.items():
                spoiled[name].append(measure(of_pictures, prompt, spoil(pictures)))
            for share in MELTED:
                lump = melt(scene, share)
                seen = measure(of_pictures, prompt, pictures_of(lump, arguments.num_views))
                melted[share].append(seen | shape_of_scene(lump))
    lines = [
        "# The metrics, checked",
        "",
        f"Made by `{command()}` at commit {commit()}.",
        "",
        f"Renders of the embedded world's own objects, {len(truth)} test prompts, "
        f"{arguments.num_views} views of {SIZE} pixels.",
        "",
        "| measure | mean | least | most |",
        "|---|---|---|---|",
    ]
    for column in world.measures:
        values = [each[column.key] for each in truth if column.key in each]
        ends = " | ".join(f"{value:.3f}" for value in (mean(values), min(values), max(values)))
        lines.append(f"| {column.title} | {ends} |")
    lines += ["", f"The first {arguments.num_spoiled} of them, spoiled:", ""]
    lines += [f"| pictures | {' | '.join(SHOWN)} |", "|---" * (len(SHOWN) + 1) + "|"]
    for name, rows in spoiled.items():
        cells = " | ".join(f"{mean(row[key] for row in rows):.3f}" for key in SHOWN)
        lines.append(f"| {name} | {cells} |")
    lines += ["", "The same, melted into balls that keep their paint:", ""]
    columns = [column for column in world.measures if not column.fronted]
    lines.append(f"| melted | {' | '.join(column.title for column in columns)} |")
    lines.append("|---" * (len(columns) + 1) + "|")
    for share, rows in melted.items():
        cells = " | ".join(f"{mean(row[column.key] for row in rows):.3f}" for column in columns)
        lines.append(f"| {share:.0%} | {cells} |")
    lines += ["", "Fronts counted where there is one, and with a second face glued on behind:", ""]
    lines += ["| faces | none | one | two | more | right |", "|---|---|---|---|---|---|"]
    for num, counts in faces.items():
        bins = [sum(c == k for c in counts) for k in (0, 1, 2)] + [sum(c > 2 for c in counts)]
        right = sum((c == 1) if num == 1 else (c >= 2) for c in counts)
        cells = " | ".join(map(str, bins))
        lines.append(f"| {num} | {cells} | {right} of {len(counts)} |")
    lines += ["", "<!-- patterns -->", *measure_patterns(arguments.prompts), "<!-- end -->"]
    with whole_file(arguments.out) as temporary:
        temporary.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
