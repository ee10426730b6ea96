"""Does a long run, or a long sweep, take more and more? Memory, open files and temporary files.

    python benchmarks/leaks.py --steps 5000 --runs 200 --write docs/reliability.md

A tiny but whole run (two particles, all losses, a checkpoint every ten steps) and then a sweep's
driver with runs that end at once are looked at a hundred times; a line is fitted to the last two
thirds of what was seen, so that what is allocated once does not count.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from page import put

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "training"))
_LOOKS = 100


class Looks:
    """What this process holds, as it goes on."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float, int, int]] = []

    def look(self, at: int) -> None:
        """Notes memory in KiB, open files and files in the folder for temporary ones."""
        resident = int(Path("/proc/self/statm").read_text().split()[1])
        num_open = len(os.listdir("/proc/self/fd"))
        num_files = sum(len(files) for _, _, files in os.walk(tempfile.gettempdir()))
        self.seen.append((at, resident * os.sysconf("SC_PAGESIZE") / 1024, num_open, num_files))

    def slopes(self) -> list[float]:
        """KiB, open files and temporary files per step or run."""
        table = np.array(self.seen[len(self.seen) // 3 :], dtype=np.float64)
        return [float(np.polyfit(table[:, 0], column, 1)[0]) for column in table.T[1:]]


def steps(num: int, work: Path) -> list[float]:
    """The slopes of a run of so many steps."""
    import trimesh
    import yaml
    from killed_runs import config
    from lightning.pytorch import Callback, Trainer

    from redream.data import RetrievalDataModule
    from redream.method.module import ReDream
    from redream.priors.miniature import save_miniature
    from redream.tools.lightning import ReDreamCLI, run

    looks = Looks()

    class Look(Callback):
        def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
            if trainer.global_step % max(num // _LOOKS, 1) == 0:
                looks.look(trainer.global_step)

    class Looked(ReDreamCLI):
        def _instantiate_trainer(self, config: dict, callbacks: list[Callback]) -> Trainer:
            return super()._instantiate_trainer(config, [*callbacks, Look()])

    save_miniature(work / "prior", "epsilon")
    trimesh.creation.box((0.8, 1.0, 1.4)).export(work / "box.glb")
    small = config(work / "prior", work / "box.glb")
    small["trainer"] |= {"max_steps": num, "default_root_dir": str(work / "out")}
    saver = small["trainer"]["callbacks"][0]
    saver["init_args"]["every_n_train_steps"] = 10
    small["trainer"]["callbacks"] = [saver]
    (work / "small.yaml").write_text(yaml.safe_dump(small))
    options = [f"--config={work / 'small.yaml'}", "--trainer.accelerator=cpu"]
    run(ReDream, RetrievalDataModule, ["fit", *options], cli=Looked)
    return looks.slopes()


def runs(num: int, work: Path) -> list[float]:
    """The slopes of a sweep's driver with so many runs."""
    from redream.tools import sweep_run
    from redream.tools.sweep_results import Results

    def command(arguments: list[str]) -> int:
        folder = Path(arguments[arguments.index("--trainer.default_root_dir") + 1])
        (folder / "metrics.json").write_text(json.dumps({"clip": 0.25}))
        return 0

    sweep_run.cli.main = command  # type: ignore[assignment]
    looks = Looks()
    planned = sweep_run.plan([f"a dog of size {number}" for number in range(num)], 1, work, [])
    results = Results(planned, work)
    for number, each in enumerate(planned):
        sweep_run.make(each)
        results.note(each)
        results.write_now_and_then()
        looks.look(number)
    return looks.slopes()


def main() -> None:
    """Prints the slopes, and writes them into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--write", type=Path, default=None, help="page to put the figures into")
    options = parser.parse_args()
    lines = ["| | memory, KiB | open files | temporary files |", "|---|---|---|---|"]
    page = None if options.write is None else options.write.absolute()
    with tempfile.TemporaryDirectory(prefix="redream-leaks-") as folder:
        temporary = Path(folder, "tmp")
        temporary.mkdir()
        tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
        for name, num, slopes in (
            ("step", options.steps, steps(options.steps, Path(folder))),
            ("run of a sweep", options.runs, runs(options.runs, Path(folder, "sweep"))),
        ):
            cells = [f"{value:.4f}" for value in slopes]
            lines.append(f"| per {name}, of {num:,} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    if page is not None:
        put(page, "leaks", "\n".join(lines))


if __name__ == "__main__":
    main()
