"""Times whole runs, of another checkout and of this one in turn, by the processor's seconds.

``python benchmarks/run.py --base ../base`` runs ``redream fit`` with the default configuration for
each prompt from both checkouts alternately, on one environment, and writes what each run took and
made. A process's own seconds (user and system, children included) hardly change with what else the
computer does; the clock on the wall is said beside them. ``--base`` is left out to time this
checkout alone. ``--again`` runs this checkout a second time on the same cache, which then has the
adapter where ``--ahead`` has this checkout adapt before the first step. ``--page
docs/performance.md`` puts the table there.

The floor is what arithmetic alone would take: the passes of a row through the denoiser that the run
counted, times the FLOPs of one, over the rate at which this machine was seen to multiply matrices.

``--share 0.2`` makes runs shorter, in distillation and adaptation alike, and says more of
what comes before and after; other options are handed on.
``--threads 1`` gives both checkouts one passive thread; otherwise each takes what it takes alone.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import yaml

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
        passes: Of a row through the denoiser, gradients twice; None where the checkout counts none.
        again: Whether the run's cache is that of a run before.
    """

    commit: str
    prompt: str
    cpu_seconds: float
    wall_seconds: float
    psnr_db: float
    clip_score: float
    passes: int | None
    again: bool


def run(checkout: Path, prompt: str, cache: Path, options: list[str], again: bool = False) -> Run:
    """Runs the default configuration of a checkout in a process of its own."""
    commit = subprocess.check_output(
        ["git", "-C", str(checkout), "describe", "--always", "--dirty"], text=True
    ).strip()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", COMMAND, "fit", "--config=configs/default.yaml"]
        command += [f"--prompt={prompt}", f"--trainer.default_root_dir={folder}", *options]
        command += ["--trainer.callbacks+=redream.callbacks.Budget"]
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
        counted = json.loads((Path(folder) / "budget.json").read_text("utf-8"))
    models = [model["psnr_db"] for model in made["models"] if model]
    scores = [particle.get("clip_score", float("nan")) for particle in made["particles"]]
    return Run(
        commit,
        prompt,
        used.ru_utime + used.ru_stime,
        wall,
        sum(models) / max(len(models), 1),
        sum(scores) / len(scores),
        counted.get("passes"),
        again,
    )


def shorter(checkout: Path, share: float) -> list[str]:
    """Options by which a checkout's default run has a share of its steps."""
    if share == 1.0:
        return []
    tree = yaml.safe_load((checkout / "configs" / "default.yaml").read_text("utf-8"))
    adapter = tree["model"]["adapter"]["init_args"]["max_steps"]
    return [
        f"--trainer.max_steps={round(share * tree['trainer']['max_steps'])}",
        f"--model.adapter.init_args.max_steps={round(share * adapter)}",
    ]


def seconds_per_pass() -> tuple[float, float]:
    """What a pass of one row through the embedded denoiser takes where arithmetic alone counts.

    Returns:
        The seconds, and the FLOP/s of large matrix products, both of one thread.
    """
    import torch
    from flops import counting
    from step import Clock, matrix_rate

    from redream.mini.prepare import embedded_world
    from redream.priors import BASE, StableDiffusionPrior
    from redream.types import NoisyRows

    torch.set_num_threads(1)
    prior = StableDiffusionPrior(str(embedded_world().prior))
    row = NoisyRows(
        torch.zeros(1, *prior.latent_shape),
        torch.tensor([500]),
        prior.encode_prompts(["a box"]),
        (BASE,),
    )
    counter = counting()
    with torch.no_grad(), counter:
        prior.predict_noise(row)
    cpu = torch.device("cpu")
    rate = matrix_rate(Clock(cpu), cpu, torch.float32)
    return counter.get_total_flops() / rate, rate


def table(rounds: list[list[Run]], pass_seconds: float) -> str:
    """A row for each run, and the median ratio over the first of its round."""
    lines = [
        "| prompt | commit | CPU, s | over the first | wall, s | passes | floor, s | GLB, dB "
        "| CLIP score |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for runs in rounds:
        for each in runs:
            commit = f"{each.commit}, again" if each.again else each.commit
            passes = "not counted" if each.passes is None else f"{each.passes:,}"
            floor = "" if each.passes is None else f"{each.passes * pass_seconds:.0f}"
            lines.append(
                f"| {each.prompt} | {commit} | {each.cpu_seconds:.0f} "
                f"| {each.cpu_seconds / runs[0].cpu_seconds:.2f} | {each.wall_seconds:.0f} "
                f"| {passes} | {floor} | {each.psnr_db:.1f} | {each.clip_score:.1f} |"
            )
    for place, first in list(enumerate(rounds[0]))[1:]:
        ratios = [runs[place].cpu_seconds / runs[0].cpu_seconds for runs in rounds]
        what = f"{first.commit}{', again' if first.again else ''} over {rounds[0][0].commit}"
        lines += ["", f"{what}, median of {len(rounds)}: {median(ratios):.2f}."]
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, help="another checkout, such as a git worktree")
    parser.add_argument("--prompts", nargs="+", default=PROMPTS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0, help="of all steps")
    parser.add_argument("--again", action="store_true", help="a second run on the same cache")
    parser.add_argument("--ahead", action="store_true", help="this checkout adapts first")
    parser.add_argument("--threads", type=int, help="of both, passive; by default each its own")
    parser.add_argument("--page", type=Path, help="a page with a place <!-- run -->")
    arguments, options = parser.parse_known_args()
    if arguments.threads is not None:
        os.environ |= {"OMP_NUM_THREADS": str(arguments.threads), "OMP_WAIT_POLICY": "PASSIVE"}
    checkouts = [each.resolve() for each in (arguments.base, ROOT) if each is not None]

    def told(checkout: Path) -> list[str]:
        ahead = ["--model.adaptation.ahead=true"] if arguments.ahead and checkout == ROOT else []
        return [*options, *ahead, *shorter(checkout, arguments.share)]

    rounds: list[list[Run]] = []
    with tempfile.TemporaryDirectory() as caches:
        for turn in range(arguments.rounds):
            for prompt in arguments.prompts:
                rounds.append([])
                for number, checkout in enumerate(checkouts):
                    cache = Path(caches, str(number))
                    if turn and checkout == ROOT:  # an adapter of the round before is no news
                        shutil.rmtree(cache / "adapters", ignore_errors=True)
                    rounds[-1].append(run(checkout, prompt, cache, told(checkout)))
                    print(json.dumps(rounds[-1][-1]._asdict()), flush=True)
                if arguments.again:
                    rounds[-1].append(run(ROOT, prompt, cache, told(ROOT), again=True))
                    print(json.dumps(rounds[-1][-1]._asdict()), flush=True)
    pass_seconds, rate = seconds_per_pass()
    text = table(rounds, pass_seconds)
    print(text)
    if arguments.page is not None:
        from page import put

        threads = os.environ.get("OMP_NUM_THREADS", "not set")
        made = " ".join(["python", *sys.argv])
        said = f"`{made}`; one thread multiplies matrices at {rate / 1e9:.0f} GFLOP/s."
        put(arguments.page, "run", f"{said} `OMP_NUM_THREADS` {threads}.\n\n{text}")


if __name__ == "__main__":
    main()
