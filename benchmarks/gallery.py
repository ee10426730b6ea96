"""Makes the pictures of ``docs/gallery.md``: prompts through the stages of ``configs/stages.yaml``.

    python benchmarks/gallery.py [PROMPT ...] [--out outputs/gallery] [--images docs/images]
        [--page docs/gallery.md] [--options ...]

Each prompt is one job of one particle, five minutes of one core, in ``outputs/gallery/PROMPT``;
a job that was stopped goes on, a finished one is not made again. Its picture has a row for each
stage: the NeRF, the geometry's normals as the prior sees them, the textured mesh. A table of what
was measured goes with the pictures into the page. What follows ``--options`` goes to ``redream
fit``, as in ``--options --stages.nerf.trainer.max_steps 20``.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from page import put
from PIL import Image

from redream.cameras import turntable
from redream.export.turntable import contact_sheet, png_bytes, render_over_white
from redream.files import whole_file
from redream.plugins import load_plugins
from redream.representations.checkpoint import load_particle

_ROOT = Path(__file__).parents[1]
_PROMPTS = ["a golden elephant", "a marble vase", "a chequered car"]
_STAGES = ("nerf", "geometry", "texture")
_AZIMUTHS, _SIZE = 6, 128


def main() -> None:
    """Runs what is not finished and writes a picture for each prompt."""
    parser = argparse.ArgumentParser(description="Prompts through the stages, in pictures.")
    parser.add_argument("prompts", nargs="*", default=_PROMPTS)
    parser.add_argument("--out", type=Path, default=Path("outputs/gallery"))
    parser.add_argument("--images", type=Path, default=Path("docs/images"))
    parser.add_argument("--page", type=Path, default=Path("docs/gallery.md"))
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[])
    arguments = parser.parse_args()
    load_plugins()
    parts = []
    for prompt in arguments.prompts:
        name = prompt.replace(" ", "_")
        folder, image = arguments.out / name, arguments.images / f"gallery_{name}.png"
        make(prompt, folder, arguments.options)
        write(folder, image)
        parts.append(section(prompt, folder, image))
        print(parts[-1], flush=True)
    put(arguments.page, "gallery", "\n\n".join(parts))


def section(prompt: str, folder: Path, image: Path) -> str:
    """A prompt's part of the page: the picture, and a row of the table for each stage."""
    head = ["stage", "s", "rank of the prompt", "faces", "watertight", "GLB to its particle, dB"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for stage, each in zip(_STAGES, folders(folder), strict=True):
        measured = json.loads((each / "metrics.json").read_text("utf-8"))
        particle, model = measured["particles"][0], measured["models"][0]
        ranks = f"{particle['rank']:.0f} of {particle['num_captions']:.0f}"
        cells = [stage, f"{measured['seconds']:.0f}", ranks, f"{model['num_faces']:,}"]
        cells += ["yes" if model["is_watertight"] else "no", f"{model['psnr_db']:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    picture = f"![{prompt} through the stages](images/{image.name})"
    return "\n".join([f"### {prompt.capitalize()}", "", picture, "", *lines])


def make(prompt: str, folder: Path, options: list[str]) -> None:
    """Runs a job, or what is left of it."""
    command = [sys.executable, "-m", "redream", "fit", f"--config={_ROOT / 'configs/stages.yaml'}"]
    command += [f"--prompt={prompt}", f"--trainer.default_root_dir={folder}"]
    command += ["--model.num_particles=1", *options, "--ckpt_path=last"]
    subprocess.run(command, check=True)


def folders(folder: Path) -> list[Path]:
    """The stages' folders, in order; the last stage's is the job's own."""
    return [*(folder / "stages" / name for name in _STAGES[:-1]), folder]


def write(folder: Path, path: Path) -> None:
    """A row for each stage, from all round."""
    particles = [load_particle(each / "checkpoints" / "last.ckpt", 0) for each in folders(folder)]
    cameras = turntable(_AZIMUTHS, elevation_deg=15.0)
    rows = [render_over_white(particle, cameras, _SIZE) for particle in particles]
    with whole_file(path) as temporary:
        temporary.write_bytes(png_bytes(contact_sheet(rows)))
        Image.open(temporary).quantize(128).save(temporary, optimize=True)


if __name__ == "__main__":
    main()
