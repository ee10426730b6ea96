"""Times the differentiable mesh renderer: what is seen, and back to vertices and colours.

    python benchmarks/mesh_rendering.py [--size 512] [--subdivisions 6] [--repeats 5] [--device cpu]
        [--json]

A sphere of ``8 * 4^subdivisions`` faces (5 gives 8,192, 6 gives 32,768) with a colour field on it,
seen from the front. Processor time stands beside the clock's, for a machine that has other work.
"""

import argparse
import json
import statistics
import time

import torch

from redream.cameras import turntable
from redream.meshes.triangles import sphere
from redream.representations import Mesh


def main() -> None:
    """Runs the benchmark and prints a table, or JSON."""
    parser = argparse.ArgumentParser(description="The differentiable mesh renderer.")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--subdivisions", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    mesh = Mesh(vertex_lr=1e-3)
    vertices, mesh.faces = sphere(0.9, arguments.subdivisions)
    mesh.vertices = torch.nn.Parameter(vertices)
    mesh.to(arguments.device).eval()
    camera = turntable(1).to(arguments.device)

    def now() -> tuple[float, float]:
        if arguments.device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()

    times: dict[str, list[float]] = {}
    for repeat in range(arguments.repeats + 1):
        begin = now()
        views = mesh.render(camera, arguments.size, arguments.size)
        middle = now()
        views.over(torch.zeros(1, 3, 1, 1, device=arguments.device)).sum().backward()
        end = now()
        if repeat > 0:  # the first compiles and warms up
            for name, start, stop in (("forward", begin, middle), ("backward", middle, end)):
                times.setdefault(f"{name}_ms", []).append(1e3 * (stop[0] - start[0]))
                times.setdefault(f"{name}_processor_ms", []).append(1e3 * (stop[1] - start[1]))
    report: dict[str, object] = {
        "faces": len(mesh.faces),
        "size": arguments.size,
        "device": arguments.device,
        "threads": torch.get_num_threads(),
        **{name: round(statistics.median(taken), 1) for name, taken in times.items()},
    }
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:24s} {value}")


if __name__ == "__main__":
    main()
