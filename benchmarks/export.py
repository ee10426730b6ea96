"""Times the export of a checkpoint's particle, part by part, by the processor's seconds.

``python benchmarks/export.py outputs/demo/checkpoints/last.ckpt`` draws the turntable, makes the
model with the default run's settings, and draws its film; with ``--whole`` with all faces and 1,024
texels besides. Rows say what each part took of the processor, the faces, the bytes, and the PSNR to
the particle. ``--base ../base`` does the same with the code of another checkout in turn, each time
in a process of its own, and adds the median of the ratios; ``--page docs/performance.md`` puts that
table there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from statistics import median
from typing import Any

import yaml

import redream.representations  # noqa: F401  (what a checkpoint may hold)
from redream.cameras import turntable
from redream.export import atlas, film, models
from redream.export.turntable import render_over_white
from redream.representations.checkpoint import load_particle

ROOT = Path(__file__).parents[1]
PARTS = {"simplify": atlas, "unwrap": atlas, "find_texels": atlas, "texel_colors": atlas}
PARTS |= {"textured_mesh": models, "compare": models}
SETTINGS = ("surface_resolution", "num_faces", "texture_size")


def default_settings() -> dict[str, Any]:
    """What ``configs/default.yaml`` asks of the export."""
    tree = yaml.safe_load((ROOT / "configs" / "default.yaml").read_text("utf-8"))
    (export,) = (
        each["init_args"]
        for each in tree["trainer"]["callbacks"]
        if each["class_path"].endswith(".Export")
    )
    return dict(export)


def timed(function: Callable[..., Any], taken: Counter[str]) -> Callable[..., Any]:
    """The function, whose seconds of the processor are added up under its name."""

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:  # noqa: ANN401  (any function)
        started = time.process_time()
        try:
            return function(*args, **options)
        finally:
            taken[function.__name__] += time.process_time() - started

    return call


def compared(checkouts: list[Path], given: list[str], rounds: int) -> str:
    """A table of what each checkout takes, measured in turn, and the medians of the ratios."""
    rows: list[list[dict[str, float]]] = []
    for _ in range(rounds):
        rows.append([])
        for checkout in checkouts:
            environment = {**os.environ, "PYTHONPATH": str(checkout)}
            command = [sys.executable, __file__, *given, "--json"]
            said = subprocess.check_output(command, env=environment, text=True)
            rows[-1].append(json.loads(said.splitlines()[-1]))
            print(json.dumps(rows[-1][-1]), flush=True)
    lines = ["| part | before, CPU s | now, CPU s | ratio |", "|---|---|---|---|"]
    for part in rows[0][0]:
        before, now = ([row[i][part] for row in rows] for i in range(2))
        cells = [part, f"{median(before):.2f}", f"{median(now):.2f}"]
        cells += [f"{median(b / a for a, b in zip(before, now, strict=True) if a):.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--particle", type=int, default=0)
    parser.add_argument("--whole", action="store_true", help="all faces and 1,024 texels, too")
    parser.add_argument("--base", type=Path, help="another checkout, such as a git worktree")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="the parts as JSON, in the last line")
    parser.add_argument("--page", type=Path, help="a page with a place <!-- export -->")
    arguments = parser.parse_args()
    if arguments.base is not None:
        given = [str(arguments.checkpoint), "--particle", str(arguments.particle)]
        text = compared([arguments.base.resolve(), ROOT], given, arguments.rounds)
        print(text)
        if arguments.page is not None:
            from page import put

            made = " ".join(["python", *sys.argv])
            put(arguments.page, "export", f"Written by `{made}`.\n\n{text}")
        return
    particle = load_particle(arguments.checkpoint, arguments.particle)
    export = default_settings()
    size = export.get("frame_size", 160)
    taken: Counter[str] = Counter()
    orbit = turntable(48, 15.0, 3.0, 40.0)
    timed(render_over_white, taken)(particle, orbit, size)
    parts = {"turntable": taken["render_over_white"]}
    print(f"turntable of 48 pictures of {size} pixels: {parts['turntable']:.1f} s")
    for name, module in PARTS.items():
        setattr(module, name, timed(getattr(module, name), taken))
    settings = [{name: export[name] for name in SETTINGS}]
    if arguments.whole:
        settings.append(settings[0] | {"num_faces": None, "texture_size": 1024})
    print(
        f"| faces | texels | bytes | PSNR, dB | {' | '.join(f'{name}, s' for name in PARTS)} "
        "| film, s |"
    )
    print("|---" * (5 + len(PARTS)) + "|")
    for each in settings:
        taken.clear()
        with tempfile.TemporaryDirectory() as folder:
            exporter = models.ModelExport(**each, picture_size=size)
            model = exporter.write(particle, Path(folder) / "particle", {})
        timed(film.film_frames, taken)(particle, model, orbit, export.get("film_size", size))
        facts = model.facts
        cells = [f"{facts['num_faces']:,}", f"{facts['texture_size']}", f"{len(model.glb):,}"]
        cells += [f"{facts['psnr_db']:.1f}", *(f"{taken[name]:.1f}" for name in PARTS)]
        print(f"| {' | '.join(cells)} | {taken['film_frames']:.1f} |", flush=True)
        if each is settings[0]:
            parts |= {
                "atlas": taken["simplify"] + taken["unwrap"] + taken["find_texels"],
                "texture": taken["texel_colors"],
                "model": taken["textured_mesh"],
                "its comparison": taken["compare"],
                "film": taken["film_frames"],
            }
            whole = ("turntable", "model", "its comparison", "film")
            parts |= {"all": sum(parts[part] for part in whole)}
            parts |= {"PSNR, dB": facts["psnr_db"], "IoU": facts["silhouette_iou"]}
    if arguments.json:
        print(json.dumps(parts))


if __name__ == "__main__":
    main()
