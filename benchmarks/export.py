"""Times the export of a checkpoint's particle, part by part, by the processor's seconds.

``python benchmarks/export.py outputs/demo/checkpoints/last.ckpt`` draws the turntable and makes the
model with the default run's settings, and with ``--whole`` with all faces and 1,024 texels besides.
Rows say what each part took of the processor, the faces, the bytes, and the PSNR to the particle.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import yaml

import redream.representations  # noqa: F401  (what a checkpoint may hold)
from redream.cameras import turntable
from redream.export import atlas, models
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


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--particle", type=int, default=0)
    parser.add_argument("--whole", action="store_true", help="all faces and 1,024 texels, too")
    arguments = parser.parse_args()
    particle = load_particle(arguments.checkpoint, arguments.particle)
    export = default_settings()
    size = export.get("frame_size", 160)
    taken: Counter[str] = Counter()
    orbit = turntable(48, 15.0, 3.0, 40.0)
    timed(render_over_white, taken)(particle, orbit, size)
    print(f"turntable of 48 pictures of {size} pixels: {taken['render_over_white']:.1f} s")
    for name, module in PARTS.items():
        setattr(module, name, timed(getattr(module, name), taken))
    settings = [{name: export[name] for name in SETTINGS}]
    if arguments.whole:
        settings.append(settings[0] | {"num_faces": None, "texture_size": 1024})
    print(f"| faces | texels | bytes | PSNR, dB | {' | '.join(f'{name}, s' for name in PARTS)} |")
    print("|---" * (4 + len(PARTS)) + "|")
    for each in settings:
        taken.clear()
        with tempfile.TemporaryDirectory() as folder:
            exporter = models.ModelExport(**each, picture_size=size)
            model = exporter.write(particle, Path(folder) / "particle", {})
        facts = model.facts
        cells = [f"{facts['num_faces']:,}", f"{facts['texture_size']}", f"{len(model.glb):,}"]
        cells += [f"{facts['psnr_db']:.1f}", *(f"{taken[name]:.1f}" for name in PARTS)]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
