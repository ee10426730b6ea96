"""Trains every model of the embedded world, then measures them: one call, CPU or CUDA.

``python -m redream.mini.train_all --work FOLDER`` writes the weights into the package. Killed and
started again, it goes on where it was; models that are finished are not trained again.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from redream.mini.build_index import build_index
from redream.mini.prepare import WEIGHTS

_MEASURE = Path(__file__).parents[2] / "benchmarks" / "mini.py"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="data, checkpoints and curves")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="default: the package's weights")
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of steps")
    arguments = parser.parse_args()

    def steps(num: int) -> str:
        return str(max(1, round(num * arguments.scale)))

    out, work = arguments.out, arguments.work
    recipes: dict[str, list[str]] = {
        "prior": ["train_prior", "--vae_steps", steps(2_600), "--unet_steps", steps(6_800)],
        "retrieval_clip": ["train_clip", "--role", "retrieval", "--num_steps", steps(3_500)],
        "evaluation_clip": [
            *("train_clip", "--role", "evaluation"),
            *("--num_pictures", "10000", "--num_steps", steps(1_500)),
        ],
    }
    for name, (recipe, *options) in recipes.items():
        folder = work / name
        command = [sys.executable, "-m", f"redream.mini.{recipe}", *options]
        subprocess.run([*command, "--out", str(out / name), "--work", str(folder)], check=True)
    build_index(out / "index", out / "retrieval_clip")
    if out == WEIGHTS and _MEASURE.is_file():
        for part in ("prior", "adaptation"):
            subprocess.run([sys.executable, str(_MEASURE), part], check=True)


if __name__ == "__main__":
    main()
