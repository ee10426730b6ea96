"""One step of variational score distillation: ours, threestudio's and ProlificDreamer's.

Run ``python benchmarks/step.py --quick`` (a miniature, two minutes of one core), or without
``--quick`` for Stable Diffusion 2.1 at its full size with random weights. All arrangements share
one network, dtype and attention kernel and are timed in turns within one process, on a CPU as the
process's CPU time. ``--page docs/performance.md`` replaces the case's section of that page.
``--views`` counts instead what a step of each prior of several views or of pictures computes, on
tensors that take no memory: a minute.
"""

import argparse
import ctypes
import gc
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import page
import torch
import views_models
import views_page
import views_step
from flops import counting
from step_arrangements import Inputs, Ours, Peers, inputs_for, unnoted
from step_models import SIZES, make_prior
from step_page import as_table, put
from step_whole import Whole

OURS, SHARING = "ReDream", "ReDream, share_noise"
THREESTUDIO, PROLIFICDREAMER = "threestudio", "ProlificDreamer"


class Clock:
    """Seconds: of this process's CPU time, or of the GPU's work."""

    def __init__(self, device: torch.device) -> None:
        self.is_gpu = device.type == "cuda"
        self.parts: dict[str, float] = {}

    def now(self) -> float:
        """The time, once all that was asked of a GPU is done."""
        if self.is_gpu:
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds what happens inside to a part of the step."""
        begin = self.now()
        yield
        self.parts[name] = self.parts.get(name, 0.0) + self.now() - begin

    def time(self, step: Callable[..., None], *arguments: Any) -> float:  # noqa: ANN401
        """How long one call takes."""
        begin = self.now()
        step(*arguments)
        return self.now() - begin


def main(arguments: list[str]) -> None:
    """Measures, prints the table, and the report as JSON in the last line."""
    options = parse(arguments)
    if options.views:
        views = {each: views_step.count(each) for each in views_models.ARRANGEMENTS}
        if options.page is not None:
            page.put(options.page, "views: step", views_page.step_table(views))
        print(json.dumps(views))
        return
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    name = list(SIZES)[options.quick]
    random = partial(
        make_prior, name, options.image_size, dtype=options.dtype, compile=options.compile,
        channels_last=options.channels_last, gradient_checkpointing=options.gradient_checkpointing,
    )  # fmt: skip
    prior = random().to(device)
    inputs, clock = inputs_for(prior), Clock(device)
    peers = Peers(prior, options.compile)
    ours = Ours(prior, inputs.text)
    steps = {
        THREESTUDIO: peers.threestudio,
        PROLIFICDREAMER: peers.prolificdreamer,
        OURS: ours.step,
        SHARING: ours.sharing,
    }
    weights = [inputs.latents, *peers.parameters(), *ours.parameters()]
    report: dict[str, Any] = {
        "case": f"{name}, {options.image_size} pixels, {options.dtype}, {device.type}",
        "command": " ".join(["python benchmarks/step.py", *arguments]),
        "machine": machine(device, options.threads),
        "gflop_per_s": matrix_rate(clock, device, getattr(torch, options.dtype)) / 1e9,
        "rounds": options.rounds,
        "steps": compare(steps, inputs, weights, clock, options.rounds),
    }
    del prior, inputs, peers, ours, steps, weights  # at full size there is no room for both
    gc.collect()
    report |= ratios(report["steps"]) | {"whole": {}}
    if not options.no_whole:
        whole = Whole(random().to(device), clock.now, partial(peak_mb, clock.is_gpu))
        for size, share in product(options.render_size, (False, True)):
            label = f"views of {size} pixels" + ", share_noise" * share
            report["whole"][label] = whole.measure(size, share, max(options.rounds // 3, 1))
    report["date"] = time.strftime("%Y-%m-%d")
    if options.page is not None:
        put(report, options.page)
    if not options.json:
        print(as_table(report))
    print(json.dumps(report))


def compare(
    steps: dict[str, Callable[..., None]],
    inputs: Inputs,
    trained: list[torch.Tensor],
    clock: Clock,
    rounds: int,
) -> dict[str, Any]:
    """Times the arrangements in turns, whole and by part, and counts what they compute."""

    def run(step: Callable[..., None], part: Any = unnoted) -> None:  # noqa: ANN401
        for tensor in trained:
            tensor.grad = None
        step(inputs, part)

    results: dict[str, Any] = {}
    for name, step in steps.items():
        run(step)  # compiles, fills caches
        results[name] = {
            "seconds": [],
            "parts": {},
            "peak_mb": peak_mb(clock.is_gpu, partial(run, step)),
        }
        counter = counting()
        with counter, torch.compiler.set_stance("force_eager"):
            run(step)
        results[name]["gflop"] = counter.get_total_flops() / 1e9
    order = list(steps)
    for _ in range(rounds):
        order = order[1:] + order[:1]
        for name in order:
            results[name]["seconds"].append(clock.time(run, steps[name]))
    for _ in range(max(rounds // 3, 1)):
        for name, step in steps.items():
            clock.parts = results[name]["parts"]
            run(step, clock.part)
    for each in results.values():
        each["parts"] = {k: v / max(rounds // 3, 1) for k, v in each["parts"].items()}
    return results


def ratios(steps: dict[str, Any]) -> dict[str, Any]:
    """Of both ways of ours over the peers: medians of the rounds' ratios, and counted FLOPs."""

    def over(mine: str, theirs: str) -> float:
        pairs = zip(steps[mine]["seconds"], steps[theirs]["seconds"], strict=True)
        return statistics.median(a / b for a, b in pairs)

    table = {
        mine: {
            theirs: {
                "time": over(mine, theirs),
                "flops": steps[mine]["gflop"] / steps[theirs]["gflop"],
            }
            for theirs in (THREESTUDIO, PROLIFICDREAMER)
        }
        for mine in (OURS, SHARING)
    }
    return {
        "ratio": table[SHARING][THREESTUDIO]["time"],
        "ratio_is": f"{SHARING} over {THREESTUDIO}",
        "ratio_without_share_noise": table[OURS][THREESTUDIO]["time"],
        "ratios": table,
    }


def peak_mb(is_gpu: bool, step: Callable[[], None]) -> float | None:
    """The most memory of one step beyond what was there before; None where nobody counts it."""
    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not status.exists():
        return None

    def kilobytes(key: str) -> int:
        line = next(line for line in status.read_text().splitlines() if line.startswith(key))
        return int(line.split()[1])

    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed shall not serve again unseen
    clear.write_text("5")  # resets the high-water mark
    before = kilobytes("VmRSS")
    step()
    return (kilobytes("VmHWM") - before) / 2**10


def matrix_rate(clock: Clock, device: torch.device, dtype: torch.dtype) -> float:
    """FLOPs per second of large matrix products: the floor's denominator."""
    side = 8192 if clock.is_gpu else 2048
    one = torch.randn(side, side, device=device, dtype=dtype)
    best = min(clock.time(torch.matmul, one, one) for _ in range(5))
    return 2 * side**3 / best


def machine(device: torch.device, threads: int) -> str:
    """What it ran on."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}"
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor()
    return f"{processor}, {threads} thread(s), PyTorch {torch.__version__}"


def parse(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line; what is left out follows from the device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a miniature")
    parser.add_argument("--json", action="store_true", help="print nothing but the report")
    parser.add_argument("--page", type=Path, help="page whose section of this case is replaced")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--image-size", type=int, help="side of the scored pictures in pixels")
    parser.add_argument("--render-size", type=int, nargs="*", help="side of the rendered views")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-whole", action="store_true", help="leave the whole step out")
    parser.add_argument("--views", action="store_true", help="count priors of several views")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    options = parser.parse_args(arguments)
    is_gpu = options.device.startswith("cuda")
    options.dtype = options.dtype or ("bfloat16" if is_gpu else "float32")
    size = SIZES[list(SIZES)[options.quick]]["image_size"]
    options.image_size = options.image_size or (size if is_gpu or options.quick else 64)
    options.render_size = options.render_size or ([64, 512] if is_gpu else [64])
    options.rounds = options.rounds or (30 if is_gpu else 5 if options.quick else 3)
    return options


if __name__ == "__main__":
    main(sys.argv[1:])
