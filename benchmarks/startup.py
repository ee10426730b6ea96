"""What commands take of the processor before they have done anything, of two checkouts in turn.

``python benchmarks/startup.py --base ../base`` runs the commands of ``COMMANDS`` in processes of
their own, from both checkouts alternately on one environment, and writes the median of each one's
seconds (user and system), and of the ratios of pairs. Caches are warm, but for the command that
says ``fresh``: it has no assets yet, while kernels are compiled. ``--page docs/performance.md``
puts the table there.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from page import put

ROOT = Path(__file__).parents[1]
COMMAND = "import sys; from redream.cli import main; sys.exit(main())"
FIRST_STEP = ("--config=configs/default.yaml", "--trainer.max_steps=1", "--trainer.callbacks=null")
COMMANDS: dict[str, tuple[str, ...]] = {
    "redream --help": ("--help",),
    "redream plugins": ("plugins",),
    "redream fit --help": ("fit", "--help"),
    "redream retrieve PROMPT": ("retrieve", "a golden elephant"),
    "redream retrieve PROMPT, fresh": ("retrieve", "a golden elephant"),
    "redream fit, to the end of its first step": ("fit", *FIRST_STEP),
}


def seconds(checkout: Path, arguments: tuple[str, ...], cache: Path) -> float:
    """What a command takes of the processor, user and system, its children included."""
    with tempfile.TemporaryDirectory() as folder:
        where = {"fit": f"--trainer.default_root_dir={folder}", "retrieve": f"--out={folder}/a.png"}
        more = [where[arguments[0]]] if arguments[0] in where and "--help" not in arguments else []
        environment = {**os.environ, "PYTHONPATH": str(checkout), "REDREAM_CACHE": str(cache)}
        environment["WARP_CACHE_PATH"] = str(cache.parent / f"{cache.name}-warp")
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments, *more],
            cwd=checkout,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if status != 0:
        raise SystemExit(f"{checkout}: redream {' '.join(arguments)} failed")
    return used.ru_utime + used.ru_stime


def measure(
    checkouts: list[Path], names: list[str], rounds: int, caches: Path
) -> dict[str, list[list[float]]]:
    """The seconds of each command: a list for each round, in the order of the checkouts."""
    taken: dict[str, list[list[float]]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        for name in names:
            row = []
            for number, checkout in enumerate(checkouts):
                cache = caches / str(number)
                if name.endswith("fresh"):
                    shutil.rmtree(cache, ignore_errors=True)
                row.append(seconds(checkout, COMMANDS[name], cache))
            if turn:  # the first round fills caches
                taken[name].append(row)
                print(name, *(f"{each:.2f}" for each in row), flush=True)
    return taken


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, help="another checkout, such as a git worktree")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="WORD", help="commands with these")
    parser.add_argument("--page", type=Path, help="a page with a place <!-- startup -->")
    arguments = parser.parse_args()
    checkouts = [each.resolve() for each in (arguments.base, ROOT) if each is not None]
    words = arguments.only or [""]
    names = [name for name in COMMANDS if any(word in name for word in words)]
    with tempfile.TemporaryDirectory() as caches:
        taken = measure(checkouts, names, arguments.rounds, Path(caches))
    commits = [
        subprocess.check_output(
            ["git", "-C", str(each), "describe", "--always", "--dirty"], text=True
        ).strip()
        for each in checkouts
    ]
    header = ["command", *(f"{commit}, CPU s" for commit in commits)]
    header += ["ratio"] if len(checkouts) > 1 else []
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for name, rows in taken.items():
        cells = [f"`{name}`" if "," not in name else f"`{name.replace(', ', '`, ', 1)}"]
        cells += [f"{median(column):.2f}" for column in zip(*rows, strict=True)]
        cells += [f"{median(row[-1] / row[0] for row in rows):.2f}"] if len(checkouts) > 1 else []
        lines.append(f"| {' | '.join(cells)} |")
    text = "\n".join(lines)
    print(text)
    if arguments.page is not None:
        made = " ".join(["python", *sys.argv])
        put(arguments.page, "startup", f"Written by `{made}`.\n\n{text}")


if __name__ == "__main__":
    main()
