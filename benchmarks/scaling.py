"""Two processes against one: how much of the ideal is reached, and what is communicated.

    python benchmarks/scaling.py --write docs/reliability.md

The default configuration, cut to a few steps, runs by turns in one process pinned to one core, in
two processes pinned to two, and twice side by side in processes that know nothing of each other.
Efficiency is the time of a step in one process over twice its time in two (1 is ideal); every round
is measured one after the other, and the median counts. What the strangers lose to each other is the
machine's: caches and memory that the cores share. Half of the work alone shows what does not halve.
The plan for 8 GPUs is arithmetic on Stable Diffusion 2.1's layers and configs/paper.yaml.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from page import put

ROOT = Path(__file__).parents[1]
LEFT_OUT = 2  # steps that compile and warm up
HALF = ["--model.num_particles=1", "--model.adaptation.batch_size=3"]
"""What one of two processes does of configs/default.yaml."""


def work(devices: int, num_steps: int, out: Path, half: bool) -> None:
    """One training; the first process writes the seconds of a step."""
    from lightning.pytorch.callbacks import Callback

    from redream.tools.lightning import configured

    class Stopwatch(Callback):
        ends: list[float] = []

        def on_train_batch_end(self, *_: object) -> None:
            self.ends.append(time.monotonic())

    made = configured(
        ROOT / "configs" / "default.yaml",
        f"--trainer.devices={devices}",
        "--trainer.accelerator=cpu",
        f"--trainer.max_steps={num_steps}",
        f"--trainer.default_root_dir={out.parent / 'run'}",
        "--trainer.callbacks=[]",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_checkpointing=false",
        *(HALF if half else ()),
    )
    made.trainer.callbacks.append(Stopwatch())
    made.trainer.fit(made.model, made.datamodule)
    if made.trainer.is_global_zero:
        ends = Stopwatch.ends[LEFT_OUT - 1 :]
        seconds = (ends[-1] - ends[0]) / (len(ends) - 1)
        out.write_text(json.dumps({"seconds": seconds}))


def measure(devices: int, *cores: set[int], num_steps: int, half: bool = False) -> float:
    """Seconds a step of :func:`work` on these cores; for several sets of cores, of runs at once."""
    with tempfile.TemporaryDirectory() as folder:
        outs = [Path(folder, str(i), "seconds.json") for i in range(len(cores))]
        runs = []
        for out, own in zip(outs, cores, strict=True):
            out.parent.mkdir()
            command = [sys.executable, __file__, "--worker", str(devices), "--out", str(out)]
            runs.append(
                subprocess.Popen(
                    [*command, "--steps", str(num_steps), *(["--half"] if half else [])],
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                    preexec_fn=partial(os.sched_setaffinity, 0, own),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        if any([run.wait() for run in runs]):
            raise RuntimeError(f"a run failed: {' '.join(command)} --steps {num_steps} says why")
        return statistics.mean(json.loads(out.read_text())["seconds"] for out in outs)


def lora_parameters(rank: int = 4, text_width: int = 1024) -> int:
    """Of a LoRA on all attention layers of Stable Diffusion 2.1's UNet."""
    widths = [320] * 5 + [640] * 5 + [1280] * 6  # its transformer blocks, the middle one included
    own = sum(4 * rank * 2 * width for width in widths)
    cross = sum(2 * rank * 2 * width + 2 * rank * (text_width + width) for width in widths)
    return own + cross


def plan(num_gpus: int = 8, step_seconds: float = 6 * 3600 / 20_000) -> list[str]:
    """What a step of configs/paper.yaml communicates, and its share of a step's time."""
    omega = lora_parameters()
    camera = 16 * 1280 + 1280 + 1280 * 1280 + 1280
    prefixes = 3 * 3 * 1024
    num = 2 * omega + camera + prefixes
    message = 4 * num / 1e6
    sent = 2 * (num_gpus - 1) / num_gpus * message
    lines = [
        f"On {num_gpus} GPUs with `configs/paper.yaml` and one particle each, a step sums "
        f"{num:,} numbers (omega {omega:,}, zeta {omega + camera:,}, e_psi {prefixes:,}), "
        f"{message:.1f} MB; in a ring each GPU sends {sent:.1f} MB. Three messages of a few "
        "numbers come besides: losses, whether all are finite, whether Ctrl-C was pressed.",
        "",
        f"| link | GB/s | ms a step | share of a step of {step_seconds:.2f} s |",
        "|---|---|---|---|",
    ]
    for link, speed in (("NVLink", 200.0), ("PCIe 4", 16.0), ("10 Gbit Ethernet", 1.1)):
        ms = sent / speed
        lines.append(f"| {link} | {speed:g} | {ms:.2f} | {ms / 10 / step_seconds:.2f} % |")
    lines += [
        "",
        "The step's time is an assumption: the paper's whole run of 6 hours, 20,000 steps on an "
        "RTX A6000. Of a step twice as fast the shares are twice as large. What does not "
        "shrink with more GPUs is Eq. 5 where its batch cannot be divided "
        "(`adaptation.batch_size` 1 in that file): every process computes it.",
    ]
    return lines


def spread(values: Sequence[float]) -> str:
    """A median and the range around it."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Measures rounds and writes the page's part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3, help="0 writes the plan alone")
    parser.add_argument("--write", type=Path, default=None, help="page to put the figures into")
    parser.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--half", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.steps, options.out, options.half)
        return
    lines, ratios, strangers, halves = [], [], [], []
    for _ in range(options.rounds):
        first, second = ({core} for core in sorted(os.sched_getaffinity(0))[:2])
        alone = measure(1, first, num_steps=options.steps)
        together = measure(2, first | second, num_steps=options.steps)
        beside = measure(1, first, second, num_steps=options.steps)
        half = measure(1, first, num_steps=options.steps, half=True)
        ratios.append(alone / (2.0 * together))
        strangers.append(alone / beside)
        halves.append(alone / (2.0 * half))
        times = {"one": alone, "two": together, "side by side": beside, "half": half}
        print("s a step: " + ", ".join(f"{k} {v:.2f}" for k, v in times.items()), flush=True)
    if ratios:
        load = os.getloadavg()[0]
        lines = [
            f"Two processes reach {spread(ratios)} of the ideal (median of {len(ratios)} rounds). "
            f"Two runs that know nothing of each other, side by side on the same cores, reach "
            f"{spread(strangers)}, the machine's own limit; and half of the work, one particle and "
            f"half of Eq. 5's batch, alone on one core {spread(halves)}: smaller batches cost more "
            f"a row, and some of a step does not halve. The product of both is what is left for "
            f"two processes that neither wait nor talk. What is above 1 is the machine's drift "
            f"between two measurements. Load average {load:.1f} on "
            f"{os.cpu_count()} cores, this benchmark included.",
            "",
        ]
    lines += plan()
    print("\n".join(lines))
    if options.write is not None:
        put(options.write, "scaling", "\n".join(lines))


if __name__ == "__main__":
    main()
