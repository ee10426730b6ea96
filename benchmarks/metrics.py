"""Measures the metrics themselves on objects whose every side is known: docs/metrics_check.md.

``python benchmarks/metrics.py`` renders the embedded world's own objects for the 24 test prompts as
Table 1 renders particles: what they score is the most that a method can be asked for. Then it
spoils them in known ways.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

sys.path.insert(0, str(Path(__file__).parent / "paper"))

from provenance import command, commit  # noqa: E402
from world import WORLDS, derive, read_prompts  # noqa: E402

from redream.cameras import turntable  # noqa: E402
from redream.files import whole_file  # noqa: E402
from redream.metrics import (  # noqa: E402
    ALPIPS,
    ClipDistance,
    ClipScore,
    ClipViewJudge,
    Metric,
    ViewBalance,
)
from redream.metrics.base import merge  # noqa: E402
from redream.mini.materials import COLOURS  # noqa: E402
from redream.mini.prepare import WEIGHTS, pair_captions  # noqa: E402
from redream.mini.scene import Camera, Scene, make_scene, render_scene  # noqa: E402
from redream.mini.two_faced import with_second_face  # noqa: E402
from redream.retrieval import Encoder  # noqa: E402

SIZE = 96
SHOWN = ("clip_score", "rank", "r_precision", "a_lpips_embedded", "a_lpips_embedded_max")


def scene_of(prompt: str, seed: int) -> Scene:
    """A fresh individual of a prompt such as "a striped dog"."""
    _, material, category = prompt.split()
    rng = np.random.default_rng([40_000, seed])
    return make_scene(category, material, str(rng.choice(list(COLOURS))), rng)


def pictures_of(scene: Scene, num_views: int) -> Tensor:
    """The turntable that Table 1 measures."""
    views = [Camera(i * 360.0 / num_views) for i in range(num_views)]
    return torch.from_numpy(render_scene(scene, views, SIZE)).permute(0, 3, 1, 2) / 255.0


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


def measure(metrics: Sequence[Metric], prompt: str, pictures: Tensor) -> dict[str, float]:
    """Everything of one object."""
    cameras = turntable(len(pictures))
    return merge([metric.measure(prompt, pictures, cameras) for metric in metrics])


def main() -> None:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num_views", type=int, default=120, help="default: %(default)s")
    parser.add_argument("--num_spoiled", type=int, default=6, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("docs/metrics_check.md"))
    arguments = parser.parse_args()
    world = WORLDS["embedded"]
    clip = Encoder(str(WEIGHTS / "evaluation_clip"))
    of_pictures = [
        ClipScore(clip, pair_captions(), num_views=None),
        ALPIPS(ClipDistance(clip, "embedded")),
    ]
    fronts = ViewBalance(ClipViewJudge(clip))
    truth, spoiled = [], {name: [] for name in SPOILED}
    faces: dict[int, list[float]] = {1: [], 2: []}
    for seed, prompt in enumerate(read_prompts(world.prompts)):
        scene = scene_of(prompt, seed)
        pictures = pictures_of(scene, arguments.num_views)
        measured = measure(of_pictures, prompt, pictures)
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
    lines += ["", "Fronts counted where there is one, and with a second face glued on behind:", ""]
    lines += ["| faces | none | one | two | more | right |", "|---|---|---|---|---|---|"]
    for num, counts in faces.items():
        bins = [sum(c == k for c in counts) for k in (0, 1, 2)] + [sum(c > 2 for c in counts)]
        right = sum((c == 1) if num == 1 else (c >= 2) for c in counts)
        cells = " | ".join(map(str, bins))
        lines.append(f"| {num} | {cells} | {right} of {len(counts)} |")
    with whole_file(arguments.out) as temporary:
        temporary.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
