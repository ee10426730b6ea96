"""What a run takes beside other programs: the clock on the wall, against the same run alone.

``python benchmarks/busy.py`` runs ``redream fit`` with the default configuration and a few steps in
turn alone and beside two processes that do nothing but work (``--busy``), and writes the seconds of
a step in both, by the clock, and the median of the ratios. Nothing is set for the run: its threads
are what it chooses itself. On two cores three threads at work get two thirds of a core each: 1.5
times the time alone is what a run of one thread cannot help.

The clock tells nothing while anything else works here: the program says so, by the share of the
processor that others took before it began, and goes on only with ``--anyway``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
COMMAND = "import sys; from redream.cli import main; sys.exit(main())"
HOG = "x = 0.0\nwhile True: x = x * 0.5 + 1.0"
_IDLE = 0.1  # share of the processor that others may take


CLOCK = """
import json, time
from pathlib import Path
from lightning.pytorch.callbacks import Callback

class StepClock(Callback):
    def __init__(self):
        self.ends = []

    def on_train_batch_end(self, *_):
        self.ends.append(time.monotonic())

    def on_train_end(self, trainer, pl_module):
        path = Path(trainer.default_root_dir, "steps.json")
        path.write_text(json.dumps(self.ends))
"""
"""A callback that notes when each step ended."""


@contextmanager
def busy(num: int) -> Iterator[None]:
    """Keeps so many processes at work meanwhile."""
    hogs = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(num)]
    try:
        yield
    finally:
        for each in hogs:
            each.kill()
            each.wait()


def seconds_a_step(num_steps: int, options: list[str]) -> float:
    """The median time between steps of a run in a process of its own, after its first three."""
    with tempfile.TemporaryDirectory() as folder:
        plugin = Path(folder, "step_clock.py")
        plugin.write_text(CLOCK, "utf-8")
        command = [sys.executable, "-c", COMMAND, "fit", "--config=configs/default.yaml"]
        command += [f"--trainer.default_root_dir={folder}/run", f"--trainer.max_steps={num_steps}"]
        command += ["--trainer.callbacks=null", "--trainer.callbacks+=StepClock", *options]
        tried = f"callbacks={plugin}:StepClock"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "REDREAM_PLUGINS": tried}
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY"):
            environment.pop(name, None)
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        ends = json.loads(Path(folder, "run", "steps.json").read_text("utf-8"))
    return median(later - earlier for earlier, later in zip(ends[2:], ends[3:], strict=False))


def share_of_others(seconds: float = 3.0) -> float:
    """The share of one core that programs take while this one sleeps (Linux; else 0)."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return 0.0

    def worked() -> int:
        user, nice, system = map(int, stat.read_text().split("\n", 1)[0].split()[1:4])
        return user + nice + system

    before = worked()
    time.sleep(seconds)
    return (worked() - before) / os.sysconf("SC_CLK_TCK") / seconds


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--busy", type=int, default=2, help="processes beside the run")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--anyway", action="store_true", help="even where others are at work")
    parser.add_argument("--page", type=Path, help="a page with a place <!-- busy -->")
    arguments, options = parser.parse_known_args()
    others = share_of_others()
    if others > _IDLE and not arguments.anyway:
        raise SystemExit(
            f"others take {others:.1f} cores here, so that the clock tells nothing: end them, or "
            "give --anyway"
        )
    rows = []
    for _ in range(arguments.rounds):
        alone = seconds_a_step(arguments.steps, options)
        with busy(arguments.busy):
            beside = seconds_a_step(arguments.steps, options)
        rows.append((alone, beside))
        print(json.dumps({"alone": alone, "beside": beside}), flush=True)
    ratio = median(beside / alone for alone, beside in rows)
    alone, beside = (median(column) for column in zip(*rows, strict=True))
    text = (
        f"A step alone took {alone:.2f} s, beside {arguments.busy} busy processes {beside:.2f} s, "
        f"on {os.cpu_count()} cores: {ratio:.2f} times as long, the median of {len(rows)} pairs."
    )
    if others > _IDLE:
        text += f" Others took {others:.1f} cores before it began: the clock tells little."
    print(text)
    if arguments.page is not None:
        from page import put

        put(arguments.page, "busy", f"Written by `python {' '.join(sys.argv)}`. {text}")


if __name__ == "__main__":
    main()
