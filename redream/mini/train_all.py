"""Trains every model of the embedded world, then measures them: one call, CPU or CUDA.

``python -m redream.mini.train_all --work FOLDER`` writes the weights into the package. Killed and
started again, it goes on where it was; models that are finished are not trained again.
``--initial FOLDER`` goes on from finished weights, such as the package's own, and trains the second
stage alone.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from redream.mini.build_index import build_index
from redream.mini.prepare import WEIGHTS

_ROOT = Path(__file__).parents[2]


def recipes(
    work: Path, out: Path, scale: float = 1.0, initial: Path | None = None
) -> dict[str, list[str]]:
    """The commands that train the models, in the order in which they have to run.

    The prior and the judge are trained in two stages: the second goes on from what the first made,
    on fresh pictures that show patterns more often.

    Args:
        work: Data, checkpoints and curves: a folder for each command, by its name.
        out: Where the finished models go.
        scale: Of all numbers of steps.
        initial: Weights that the second stage goes on from; None trains the first stage, too.

    Returns:
        Modules of this package with their options, by name.
    """

    def steps(num: int) -> str:
        return str(max(1, round(num * scale)))

    first = initial or work / "first"
    second = {
        "prior": [
            *("train_prior", "--stage", "second", "--initial", str(first / "prior")),
            *("--scale", str(scale), "--out", str(out / "prior")),
        ],
        "evaluation_clip": [
            *("train_clip", "--role", "evaluation", "--initial", str(first / "evaluation_clip")),
            *("--num_pictures", "16000", "--num_steps", steps(6_000)),
            *("--out", str(out / "evaluation_clip")),
        ],
    }
    if initial is not None:
        return second
    return {
        "prior_first": ["train_prior", "--scale", str(scale), "--out", str(first / "prior")],
        "retrieval_clip": [
            *("train_clip", "--role", "retrieval", "--num_steps", steps(3_500)),
            *("--out", str(out / "retrieval_clip")),
        ],
        "evaluation_clip_first": [
            *("train_clip", "--role", "evaluation"),
            *("--num_pictures", "10000", "--num_steps", steps(1_500)),
            *("--out", str(first / "evaluation_clip")),
        ],
        **second,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="data, checkpoints and curves")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="default: the package's weights")
    parser.add_argument("--initial", type=Path, help="weights that the second stage goes on from")
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of steps")
    parser.add_argument("--num_pictures", type=int, help="of every data set, for a quick look")
    arguments = parser.parse_args()
    commands = recipes(arguments.work, arguments.out, arguments.scale, arguments.initial)
    for name, recipe in commands.items():
        options = ["--work", str(arguments.work / name)]
        if arguments.num_pictures:
            options += ["--num_pictures", str(arguments.num_pictures)]
        module, *given = recipe
        command = [sys.executable, "-m", f"redream.mini.{module}", *given, *options]
        subprocess.run(command, check=True)
    if arguments.initial is None:
        build_index(arguments.out / "index", arguments.out / "retrieval_clip")
    if arguments.out == WEIGHTS and (_ROOT / "benchmarks" / "mini.py").is_file():
        for part in ("samples", "views", "adaptation"):
            subprocess.run([sys.executable, "-m", "benchmarks.mini", part], cwd=_ROOT, check=True)


if __name__ == "__main__":
    main()
