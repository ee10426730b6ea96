"""Many runs of ``redream fit``, by any number of processes; finished ones are kept.

A run is a folder. It is finished when it holds ``done.json``, which is written last.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from experiments.paper.kept import NOTHING, Key
from experiments.paper.locks import claim, slug
from experiments.paper.provenance import commit
from experiments.paper.world import ROOT
from redream.files import whole_file
from redream.plain_data import read_yaml
from redream.tools.layers import merged

DONE, LOG = "done.json", "log.txt"


@dataclass(frozen=True)
class Run:
    """One object that one method makes.

    Attributes:
        method: The method's name, or ``METHOD@VARIANT``.
        prompt: What to make.
        seed: Seed of everything random.
        layers: Configurations, each laid over the one before.
        options: Options of ``redream fit`` after them.
        root: The folder of all runs.
    """

    method: str
    prompt: str
    seed: int
    layers: tuple[Path, ...]
    options: tuple[str, ...]
    root: Path

    @property
    def folder(self) -> Path:
        """Where the run's output is."""
        return self.root / self.method / f"{slug(self.prompt)}-seed{self.seed}"

    @property
    def recipe(self) -> str:
        """What tells this run's settings from others: a digest of their values and of options.

        A comment, or a value of the lowest layer that another is laid over, changes nothing.
        """
        values: dict[str, Any] = {}
        for layer in self.layers:
            values = merged(values, _values(layer.read_text("utf-8")))
        settings = [self.prompt, self.seed, self.options, values]
        return sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def arguments(self) -> list[str]:
        """The arguments of ``redream``."""
        layers = [word for layer in self.layers for word in ("--config", str(layer))]
        seeds = ["--seed_everything", str(self.seed), "--model.seed", str(self.seed)]
        where = ["--trainer.default_root_dir", str(self.folder)]
        return ["fit", *layers, "--prompt", self.prompt, *seeds, *where, *self.options]

    def done(self) -> dict[str, Any] | None:
        """What is known of the finished run, or None while it is not finished.

        Raises:
            ValueError: If it was made with other settings.
        """
        path = self.folder / DONE
        if not path.is_file():
            return None
        facts: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if facts["recipe"] != self.recipe:
            raise ValueError(
                f"{self.folder} was made with other settings: delete it, or choose another --out"
            )
        return facts

    @property
    def key(self) -> Key:
        """What tells the run's object from others in a record."""
        return self.method, self.prompt, self.seed, self.recipe

    def read(self) -> dict[str, Any]:
        """The measures of the finished run's first particle, and what it has used."""
        facts = self.done()
        if facts is None:
            raise FileNotFoundError(f"{self.folder} is not finished")
        metrics = json.loads((self.folder / "metrics.json").read_text("utf-8"))
        budget = json.loads((self.folder / "budget.json").read_text("utf-8"))
        return {
            "method": self.method,
            "prompt": self.prompt,
            "seed": self.seed,
            "recipe": facts["recipe"],
            "measures": metrics["particles"][0],
            "model": metrics["models"][0] if metrics.get("models") else {},
            "passes": budget["passes"],
            "steps": budget["steps"],
            "training_seconds": budget["seconds"],
            "seconds": facts["seconds"],
            "cpu_seconds": facts.get("cpu_seconds", 0.0),
            "commit": facts["commit"],
        }


@cache
def _values(text: str) -> dict[str, Any]:
    """What a configuration says."""
    return dict(read_yaml(text))


def execute(run: Run, num_threads: int = 1) -> bool:
    """Makes a run unless it is finished or another process is at it.

    Args:
        run: The run.
        num_threads: Threads of its process, unless ``OMP_NUM_THREADS`` says another number.

    Returns:
        Whether this call made it.

    Raises:
        RuntimeError: If ``redream`` failed; its words are in the run's ``log.txt``.
    """
    with claim(run.folder) as lock:
        if lock is None or run.done() is not None:
            return False
        shutil.rmtree(run.folder, ignore_errors=True)  # half of a run is none
        run.folder.mkdir(parents=True)
        started, recipe, made_at = time.monotonic(), run.recipe, commit()
        command = [sys.executable, "-m", "redream", *run.arguments]
        with (run.folder / LOG).open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={"OMP_NUM_THREADS": str(num_threads), **os.environ},
                pass_fds=[lock],  # the lock outlives us while the run does
            )
            code, cpu_seconds = _ended(process)
        if code != 0:
            last = (run.folder / LOG).read_text("utf-8").strip().splitlines()[-1:]
            raise RuntimeError(f"{run.folder} failed: {''.join(last)}")
        shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)
        facts = {
            "recipe": recipe,
            "commit": made_at,
            "seconds": round(time.monotonic() - started, 1),
            "cpu_seconds": round(cpu_seconds, 1),
            "arguments": run.arguments,
        }
        with whole_file(run.folder / DONE) as temporary:
            temporary.write_text(json.dumps(facts, indent=2), encoding="utf-8")
        return True


def _ended(process: "subprocess.Popen[bytes]") -> tuple[int, float]:
    """Waits for a process; its exit code and its CPU seconds, with those of its own children."""
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        process.wait()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime


def execute_all(
    runs: Sequence[Run], num_processes: int = 1, kept: Container[Key] = NOTHING
) -> list[str]:
    """Makes all runs that are not finished.

    Args:
        runs: The runs, most important first.
        num_processes: Processes at once; calls elsewhere may be at the same runs.
        kept: Those that were measured elsewhere are not made.

    Returns:
        What failed, in a line each.
    """
    threads = max(1, (os.cpu_count() or 1) // num_processes)

    def attempt(run: Run) -> str | None:
        try:
            if run.key not in kept and execute(run, threads):
                print(f"{run.method}: {run.prompt} (seed {run.seed})", flush=True)
        except (RuntimeError, ValueError) as error:  # ValueError: of other settings
            print(error, file=sys.stderr, flush=True)
            return str(error)
        return None

    with ThreadPoolExecutor(num_processes) as pool:
        return [failure for failure in pool.map(attempt, runs) if failure is not None]
