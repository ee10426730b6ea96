"""Times the hash grid's forward and backward against its PyTorch reference.

    python benchmarks/hash_grid.py [--points 196608] [--repeats 7] [--device cpu] [--json]

The two are timed in turn, pair by pair, so that a busy machine slows both alike; the ratio
reported is the median over the pairs.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from redream.kernels.hash_grid import HashGrid, HashGridLevel, encode_reference


def seconds(
    encode: Callable[[Tensor], Tensor], points: Tensor, table: Tensor
) -> tuple[float, float]:
    """Seconds of one forward and of one backward with respect to the table."""

    def now() -> float:
        if points.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    table.grad = None
    begin = now()
    features = encode(points)
    middle = now()
    features.backward(torch.ones_like(features))
    return middle - begin, now() - middle


def main() -> None:
    """Runs the benchmark and prints a table, or JSON."""
    parser = argparse.ArgumentParser(description="Hash grid against its PyTorch reference.")
    parser.add_argument("--points", type=int, default=196_608)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    generator = torch.Generator().manual_seed(0)
    grid = HashGrid(generator=generator).to(arguments.device)
    levels = tuple(HashGridLevel(*row) for row in grid.levels.tolist())
    points = torch.rand(arguments.points, 3, generator=generator).to(arguments.device)

    def reference(points: Tensor) -> Tensor:
        return encode_reference(points, grid.table, levels)

    pairs = []
    for repeat in range(arguments.repeats + 1):
        pair = (seconds(grid, points, grid.table), seconds(reference, points, grid.table))
        if repeat > 0:  # the first compiles and warms up
            pairs.append(pair)
    rows = {}
    for column, name in enumerate(("forward", "backward")):
        kernel = [pair[0][column] for pair in pairs]
        slow = [pair[1][column] for pair in pairs]
        rows[name] = (kernel, slow)
    rows["both"] = ([sum(pair[0]) for pair in pairs], [sum(pair[1]) for pair in pairs])
    report = {
        name: {
            "kernel_ms": 1e3 * statistics.median(kernel),
            "reference_ms": 1e3 * statistics.median(slow),
            "speedup": statistics.median(b / a for a, b in zip(kernel, slow, strict=True)),
        }
        for name, (kernel, slow) in rows.items()
    }
    setting = {
        "points": arguments.points,
        "levels": len(levels),
        "table_rows": grid.table.shape[0],
        "device": arguments.device,
        "threads": torch.get_num_threads(),
    }
    if arguments.json:
        print(json.dumps({**setting, **report}))
        return
    print(", ".join(f"{key} {value}" for key, value in setting.items()))
    for name, row in report.items():
        print(
            f"{name:9s} kernel {row['kernel_ms']:8.2f} ms   reference {row['reference_ms']:8.2f} ms"
            f"   {row['speedup']:6.2f}x"
        )


if __name__ == "__main__":
    main()
