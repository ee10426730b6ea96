"""Makes the pictures of ``docs/gallery.md``: prompts through the stages of ``configs/stages.yaml``.

    python benchmarks/gallery.py [PROMPT ...] [--out outputs/gallery] [--images docs/images]
        [--options ...]

Each prompt is one job of one particle, some ten minutes of one core, in ``outputs/gallery/PROMPT``;
a job that was stopped goes on, a finished one is not made again. Its picture has a row for each
stage: the NeRF, the geometry's normals as the prior sees them, the textured mesh. What follows
``--options`` goes to ``redream fit``, as in ``--options --stages.nerf.trainer.max_steps 20``.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

from redream.callbacks.turntable import contact_sheet, png_bytes, render_over_white
from redream.cameras import turntable
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
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[])
    arguments = parser.parse_args()
    load_plugins()
    for prompt in arguments.prompts:
        name = prompt.replace(" ", "_")
        folder = arguments.out / name
        make(prompt, folder, arguments.options)
        write(folder, arguments.images / f"gallery_{name}.png")
        measured = [json.loads((each / "metrics.json").read_text()) for each in folders(folder)]
        ranks = ", ".join(
            f"{stage} {each['particles'][0].get('rank', float('nan')):.0f}"
            for stage, each in zip(_STAGES, measured, strict=True)
        )
        print(f"{prompt}: {sum(each['seconds'] for each in measured):.0f} s; rank of 168: {ranks}")


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
