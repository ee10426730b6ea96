"""Kills runs of the main job at random moments and lets them go on: is the end the same to the bit?

    python benchmarks/kills.py --kills 20 --write docs/reliability.md

A run is left alone first. Then, once for each kill, the same run is killed by SIGKILL at a moment
drawn uniformly from its whole duration (retrieval, steps, checkpoints, previews, export), started
again with `--ckpt_path last`, and its last checkpoint compared with the first run's, tensor by
tensor: particles with their occupancy grids, adapters, optimiser, schedules, early stopping, loss
curves. With `--fresh-caches N` the first N start with an empty cache, so that the kill may hit the
making of the library and of the index. Runs on the CPU; one process imports everything once and
forks the runs, which is why it takes POSIX.
"""

import argparse
import gc
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from page import put

ROOT = Path(__file__).parents[1]
SHORT = """
trainer:
  callbacks:
    - class_path: redream.callbacks.Progress
      init_args: {num_lines: 100}
    - class_path: redream.callbacks.Previews
      init_args: {every_n_steps: 4, num_views: 4, size: 24}
    - class_path: lightning.pytorch.callbacks.ModelCheckpoint
      init_args: {save_last: true, save_top_k: 0, every_n_train_steps: 2}
    - class_path: redream.callbacks.Export
      init_args:
        metrics: []
        num_frames: 8
        frame_size: 32
        surface_resolution: 16
        texture_size: 32
model:
  particles_per_step: 1
  cameras:
    render_size: {start: 24, end: 32, begin_step: 3, end_step: 8}
  adaptation:
    held_out_period: 2
  warmup:
    steps: 6
data:
  references:
    class_path: redream.assets.ReferenceRenderer
    init_args: {num_views: 10}
"""


class Job:
    """A run of ``redream fit`` that can be killed and go on.

    Args:
        folder: Where its output and its log go.
        cache: The user's cache.
        num_steps: Its length.
        configs: YAML files, the later over the earlier.
    """

    def __init__(self, folder: Path, cache: Path, num_steps: int, configs: Sequence[Path]) -> None:
        self.folder, self.cache, self.num_steps = folder, cache, num_steps
        self.configs = configs
        folder.mkdir(parents=True)

    @property
    def log(self) -> Path:
        """What the runs say."""
        return self.folder / "log.txt"

    def start(self, *more: str, prepare: Callable[[], None] | None = None) -> int:
        """Forks a process that runs the job, after ``prepare`` in that process; its id."""
        sys.stdout.flush()
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            os.environ["REDREAM_CACHE"] = str(self.cache)
            with self.log.open("a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            from redream.cli import main

            if prepare is not None:
                prepare()
            code = main(
                [
                    "fit", *(f"--config={each}" for each in self.configs),
                    f"--trainer.max_steps={self.num_steps}",
                    f"--trainer.default_root_dir={self.folder / 'out'}",
                    "--trainer.accelerator=cpu", *more,
                ]
            )  # fmt: skip
        except SystemExit as leaving:  # told to stop
            code = leaving.code if isinstance(leaving.code, int) else 1
        except BaseException:
            traceback.print_exc()
        os._exit(code)

    def finish(self, *more: str) -> float:
        """Runs the job to its end; its seconds."""
        begin = time.monotonic()
        _, status = os.waitpid(self.start(*more), 0)
        if status:
            raise SystemExit(f"a run failed; its log ends with\n{self.log.read_text()[-2000:]}")
        return time.monotonic() - begin


def imported_once() -> None:
    """Imports what a run would, so that forks start at once; without threads, which they lack."""
    torch.set_num_threads(1)
    import peft  # noqa: F401
    from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: F401
    from transformers import CLIPTextModel, CLIPTokenizer  # noqa: F401

    import redream.callbacks
    import redream.data
    import redream.method.module
    import redream.plugins
    import redream.tools.lightning  # noqa: F401

    redream.plugins.list_components()
    gc.freeze()  # or each fork would look through it all, and so copy it


def difference(one: object, other: object, where: str = "") -> str | None:
    """The first place where two checkpoints differ; times apart."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return f"{where}: {one.keys() ^ other.keys()}"
        parts = [(key, one[key], other[key]) for key in one if key != "seconds"]
    elif isinstance(one, list | tuple) and type(one) is type(other):
        if len(one) != len(other):
            return f"{where}: {len(one)} and {len(other)} entries"
        parts = [(i, *pair) for i, pair in enumerate(zip(one, other, strict=True))]
    elif isinstance(one, torch.Tensor):
        return None if torch.equal(one, other) else where
    else:
        return None if one == other else f"{where}: {one} and {other}"
    found = (difference(a, b, f"{where}.{key}") for key, a, b in parts)
    return next((each for each in found if each is not None), None)


def what_counts(checkpoint: dict) -> dict:
    """A checkpoint without what tells of the run and not of its result."""
    kept = {key: checkpoint[key] for key in ("state_dict", "optimizer_states", "lr_schedulers")}
    export = next(v for key, v in checkpoint["callbacks"].items() if key.startswith("Export"))
    return kept | {"global_step": checkpoint["global_step"], "export": export}


def first_difference(whole: Path, other: Path) -> str | None:
    """Where the output of a run differs first from that of the run that was left alone."""
    ends = [
        torch.load(each / "checkpoints" / "last.ckpt", weights_only=True) for each in (whole, other)
    ]
    found = difference(*map(what_counts, ends))
    for name in ("particle_0.glb", "particle_1.glb"):
        models = [(each / name).read_bytes() for each in (whole, other)]
        found = found or (None if models[0] == models[1] else name)
    return found


def is_same(whole: Job, job: Job) -> bool:
    """Compares two runs, and says where they differ.

    In a process of its own: PyTorch's threads do not survive a fork, so the parent has none.
    """
    process = os.fork()
    if process:
        return os.waitpid(process, 0)[1] == 0
    found: str | None = "the comparison failed"
    try:
        found = first_difference(whole.folder / "out", job.folder / "out")
        print("     the same to the bit" if found is None else f"     differs: {found}", flush=True)
    finally:
        os._exit(found is not None)


def kill_once(job: Job, moment: float) -> str | None:
    """Runs a job and kills it at a moment; says after what, None if it had ended before."""
    process = job.start()
    deadline = time.monotonic() + moment
    while time.monotonic() < deadline:
        if os.waitpid(process, os.WNOHANG)[0]:
            return None
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    lines = job.log.read_text().splitlines() or ["nothing was said yet"]
    return re.sub(r"  ETA.*", "", lines[-1])


def main() -> None:
    """Kills as often as asked; the exit code says whether all went on to the same end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--fresh-caches", type=int, default=0)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--write", type=Path, default=None, help="page to put the figures into")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    draws = random.Random(seed)
    imported_once()
    from redream.files import cache_folder

    root = Path(tempfile.mkdtemp(prefix="redream-kills-"))
    (root / "short.yaml").write_text(SHORT)
    configs = [ROOT / "configs" / "default.yaml", root / "short.yaml"]
    cache = options.cache or cache_folder()
    whole = Job(root / "whole", cache, options.steps, configs)
    duration, survived = whole.finish(), 0
    print(f"a run of {options.steps} steps takes {duration:.1f} s; seed {seed}", flush=True)
    for number in range(options.kills):
        when = None
        while when is None:
            is_fresh = number < options.fresh_caches
            shutil.rmtree(root / f"run_{number}", ignore_errors=True)
            place = root / f"cache_{number}" if is_fresh else cache
            job = Job(root / f"run_{number}", place, options.steps, configs)
            moment = draws.uniform(0.0, (3.0 if is_fresh else 1.0) * duration)
            begin = time.monotonic()
            when = kill_once(job, moment)
            if when is None:  # the first run also filled the cache, or the machine was busy
                duration = time.monotonic() - begin
        job.finish("--ckpt_path=last")
        print(f"{number + 1:3}  {moment:6.2f} s  killed after: {when}", flush=True)
        survived += is_same(whole, job)
        shutil.rmtree(job.folder)
    line = f"{survived} of {options.kills} killed runs ended as the one that was left alone."
    print(line)
    if options.write is not None:
        put(
            options.write,
            "kills",
            f"{line} Seed {seed}, {options.fresh_caches} with an empty cache.",
        )
    shutil.rmtree(root)
    raise SystemExit(0 if survived == options.kills else 1)


if __name__ == "__main__":
    main()
