"""Times our marching tetrahedra, and kaolin's in turn where kaolin is installed.

    python benchmarks/marching_tetrahedra.py [--resolution 48] [--repeats 9] [--device cpu] [--json]

A sphere on a whole Kuhn grid (48^3 cells are 663,552 tetrahedra), and the same through the crossed
cells alone, which is how DMTet calls it. Needs ``plugins/redream-kaolin`` installed.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from redream_kaolin.grid import TetrahedralGrid
from redream_kaolin.marching import marching_tetrahedra


def milliseconds(march: Callable[[], object], device: str) -> float:
    """Time of one call."""
    begin = time.perf_counter()
    march()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - begin)


def main() -> None:
    """Runs the benchmark and prints a table, or JSON."""
    parser = argparse.ArgumentParser(description="Marching tetrahedra, ours and kaolin's.")
    parser.add_argument("--resolution", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    grid = TetrahedralGrid(arguments.resolution)
    vertices = grid.vertices(arguments.device)
    sdf = (0.8 - vertices.norm(dim=-1)).requires_grad_()
    everything = grid.tetrahedra(grid.all_cells(arguments.device))

    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: marching_tetrahedra(vertices, everything, sdf),
        "ours_crossed_cells": lambda: marching_tetrahedra(
            vertices, grid.tetrahedra(grid.crossed_cells(sdf.detach() > 0)), sdf
        ),
    }
    try:
        from kaolin.ops.conversions import marching_tetrahedra as kaolins
    except ImportError as error:
        print(f"without kaolin: {error}")
    else:
        ways["kaolin"] = lambda: kaolins(vertices[None], everything, sdf[None], True)

    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(arguments.repeats + 1):
        for name, march in ways.items():  # in turn: a busy machine slows all alike
            taken = milliseconds(march, arguments.device)
            if repeat > 0:
                times[name].append(taken)
    report: dict[str, object] = {
        "tetrahedra": len(everything),
        "device": arguments.device,
        "threads": torch.get_num_threads(),
        **{f"{name}_ms": round(statistics.median(taken), 2) for name, taken in times.items()},
        **{f"{name}_best_ms": round(min(taken), 2) for name, taken in times.items()},
    }
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:24s} {value}")


if __name__ == "__main__":
    main()
