"""Times whole runs, of another checkout and of this one in turn, by the processor's seconds.

``python benchmarks/run.py --base ../base`` runs ``redream fit`` with the default configuration for
each prompt from both checkouts alternately, on one environment, and writes what each run took and
made. A process's own seconds (user and system, children included) hardly change with what else the
computer does; the clock on the wall is said beside them. ``--base`` is left out to time this
checkout alone. ``--page docs/performance.md`` puts the table there.

``--max_steps`` makes runs shorter, which says less of the export; other options are handed on.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PROMPTS = (
    "a golden elephant",
    "a striped vase",
    "a chequered car",
    "a wooden rabbit",
    "a spotted fish",
    "a marble snowman",
)
COMMAND = "import sys; from redream.cli import main; sys.exit(main())"


class Run(NamedTuple):
    """What one run took and made.

    Attributes:
        commit: Of the checkout.
        prompt: What was made.
        cpu_seconds: Of the process and its children, user and system.
        wall_seconds: From start to end.
        psnr_db: Of its models to their particles, the mean.
        clip_score: The mean over particles.
    """

    commit: str
    prompt: str
    cpu_seconds: float
    wall_seconds: float
    psnr_db: float
    clip_score: float


def run(checkout: Path, prompt: str, cache: Path, options: list[str]) -> Run:
    """Runs the default configuration of a checkout in a process of its own."""
    commit = subprocess.check_output(
        ["git", "-C", str(checkout), "describe", "--always", "--dirty"], text=True
    ).strip()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", COMMAND, "fit", "--config=configs/default.yaml"]
        command += [f"--prompt={prompt}", f"--trainer.default_root_dir={folder}", *options]
        environment = {**os.environ, "PYTHONPATH": str(checkout), "REDREAM_CACHE": str(cache)}
        started = time.monotonic()
        process = subprocess.Popen(
            command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - started
        if status != 0:
            raise SystemExit(f"{checkout}: a run of {prompt!r} failed")
        made = json.loads((Path(folder) / "metrics.json").read_text("utf-8"))
    models = [model["psnr_db"] for model in made["models"] if model]
    scores = [particle.get("clip_score", float("nan")) for particle in made["particles"]]
    return Run(
        commit,
        prompt,
        used.ru_utime + used.ru_stime,
        wall,
        sum(models) / max(len(models), 1),
        sum(scores) / len(scores),
    )


def table(rounds: list[list[Run]]) -> str:
    """A row a prompt and round, and the ratio of the last checkout over the first."""
    lines = [
        "| prompt | commit | CPU, s | wall, s | GLB, dB | CLIP score | CPU over the first |",
        "|---|---|---|---|---|---|---|",
    ]
    for runs in rounds:
        for each in runs:
            ratio = each.cpu_seconds / runs[0].cpu_seconds
            lines.append(
                f"| {each.prompt} | {each.commit} | {each.cpu_seconds:.0f} "
                f"| {each.wall_seconds:.0f} | {each.psnr_db:.1f} | {each.clip_score:.1f} "
                f"| {ratio:.2f} |"
            )
    ratios = [runs[-1].cpu_seconds / runs[0].cpu_seconds for runs in rounds]
    if len(rounds[0]) > 1:
        lines += ["", f"Median ratio of {len(rounds)}: {median(ratios):.2f}."]
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, help="another checkout, such as a git worktree")
    parser.add_argument("--prompts", nargs="+", default=PROMPTS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--max_steps", type=int)
    parser.add_argument("--page", type=Path, help="a page with a place <!-- run -->")
    arguments, options = parser.parse_known_args()
    if arguments.max_steps is not None:
        options.append(f"--trainer.max_steps={arguments.max_steps}")
    checkouts = [each.resolve() for each in (arguments.base, ROOT) if each is not None]
    rounds: list[list[Run]] = []
    with tempfile.TemporaryDirectory() as caches:
        for _ in range(arguments.rounds):
            for prompt in arguments.prompts:
                rounds.append([])
                for number, checkout in enumerate(checkouts):
                    cache = Path(caches, str(number))
                    rounds[-1].append(run(checkout, prompt, cache, options))
                    print(json.dumps(rounds[-1][-1]._asdict()), flush=True)
    text = table(rounds)
    print(text)
    if arguments.page is not None:
        from page import put

        threads = os.environ.get("OMP_NUM_THREADS", "not set")
        put(arguments.page, "run", f"{text}\n\n`OMP_NUM_THREADS` {threads}.")


if __name__ == "__main__":
    main()
