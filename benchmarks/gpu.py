"""What a card shows in eight minutes: tests, steps, memory, kernels, peers, a short run.

    python benchmarks/gpu.py [--quick] [--minutes 8] [--only step memory] [--out outputs]

Each part is a process of its own with a time limit; what fails or takes too long is a row of the
page like any other, and the parts after it still run. Results go to ``gpu.json`` and ``gpu.md``.
Without a CUDA device everything runs on the CPU in a short form, as with ``--quick``, and the page
says so. The exit code is 1 where a part failed.
"""

import argparse
import json
import platform
import sys
import time
from pathlib import Path

import torch
from gpu_page import as_page
from gpu_parts import Part, Result, run_in_turn

from redream.files import whole_file

ROOT = Path(__file__).parents[1]


def parts(device: str, quick: bool) -> list[Part]:
    """What is run, the parts that other tools cannot show first.

    Args:
        device: ``cuda`` or ``cpu``.
        quick: Whether small sizes will do.
    """

    def script(name: str, *arguments: object) -> list[str]:
        return [sys.executable, str(ROOT / "benchmarks" / name), *map(str, arguments)]

    brief = ["--quick"] if quick else []
    on = ["--device", device]
    sizes = [64] if quick else [64, 512]
    check = [*on, *brief]
    rounds = 1 if quick else 5
    tests = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests"]
    step = ["--json", "--rounds", rounds, "--render-size", *sizes, *on, *brief]
    grid = ["--json", "--points", 8192 if quick else 196_608, *on]
    mesh = ["--json", "--size", 64 if quick else 512, "--subdivisions", 4 if quick else 6, *on]
    splats = ["--splats", 2000 if quick else 30_000, "--size", 64 if quick else 256, *on]
    return [
        Part("tests", "pytest -m gpu", tests, 150, is_json=False),
        Part("memory", "a step's memory against the prediction", script("gpu_memory.py", *on), 100),
        Part("step", "a step, ours and the peers' arrangements", script("step.py", *step), 150),
        Part("check", "60 steps as configs/paper_check.yaml", script("gpu_check.py", *check), 90),
        Part("hash grid", "hash grid against its reference", script("hash_grid.py", *grid), 30),
        Part("mesh", "mesh rendering", script("mesh_rendering.py", *mesh), 30),
        Part("splats", "splats against their reference",
             script("splats.py", "--rounds", rounds, *splats), 60),
        *(
            Part(peer, f"splats against {peer}'s",
                 script("gpu_splats.py", "--peer", peer, "--rounds", rounds, *splats), 120)
            for peer in ("gsplat", "gswarp")
        ),
    ]  # fmt: skip


def machine() -> dict[str, str]:
    """What it ran on."""
    found = {"pytorch": torch.__version__, "python": platform.python_version()}
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        gigabytes = torch.cuda.get_device_properties(0).total_memory / 1e9
        return found | {
            "card": torch.cuda.get_device_name(),
            "compute capability": f"{major}.{minor}",
            "memory": f"{gigabytes:.0f} GB",
        }
    return found | {"card": "none: the CPU"}


def main(arguments: list[str]) -> int:
    """Runs the parts and writes both files; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, but of memory")
    parser.add_argument("--minutes", type=float, default=8.0, help="the longest for all of it")
    parser.add_argument("--only", nargs="+", help="names of parts")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs")
    options = parser.parse_args(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    quick = options.quick or device == "cpu"
    if device == "cpu":
        print("no CUDA device: a short form on the CPU", file=sys.stderr, flush=True)
    chosen = parts(device, quick)
    unknown = set(options.only or ()) - {each.name for each in chosen}
    if unknown:
        parser.error(f"no part {sorted(unknown)}: take of {[each.name for each in chosen]}")
    if options.only:
        chosen = [each for each in chosen if each.name in options.only]
    begin = time.monotonic()
    report = {
        "command": " ".join(["python benchmarks/gpu.py", *arguments]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "form": "short" if quick else "full",
        "parts": {},
    }
    for result in run_in_turn(chosen, 60.0 * options.minutes, ROOT):
        report["parts"][result.name] = result._asdict()
        report["seconds"] = round(time.monotonic() - begin, 1)
        write(report, options.out)  # at each part: what comes may be killed
        print(said(result), file=sys.stderr, flush=True)
    return int(any(each["state"] != "done" for each in report["parts"].values()))


def said(result: Result) -> str:
    """A line for who waits."""
    return f"{result.name}: {result.state}, {result.seconds:.0f} s. {result.reason}".rstrip()


def write(report: dict, folder: Path) -> None:
    """Both files, whole or as they were."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"gpu.json": json.dumps(report, indent=1) + "\n", "gpu.md": as_page(report)}
    for name, text in texts.items():
        with whole_file(folder / name) as temporary:
            temporary.write_text(text, "utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
