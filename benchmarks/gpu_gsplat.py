"""Our splats' kernels against gsplat's, which compiles its own for a CUDA device.

    python benchmarks/gpu_gsplat.py [--splats 30000] [--size 256] [--rounds 5] [--device cuda]

The same splats, the same camera: a picture and its gradients by turns, medians of the rounds'
ratios, and how far the pictures are apart. Where gsplat is missing or there is no card, the report
says that nothing was compared. The last line is JSON.
"""

import argparse
import json
import math
import statistics
from importlib.util import find_spec
from typing import Any

import torch
from splats import clock, surface_splats
from torch import Tensor

from redream.cameras import turntable
from redream.kernels.splats import splat
from redream.kernels.splats_projection import Gaussians
from redream.types import Cameras


def theirs(splats: Gaussians, cameras: Cameras, size: int) -> tuple[Tensor, Tensor]:
    """Premultiplied colour and opacity by gsplat, as pictures of size ``1 C H W``."""
    from gsplat import rasterization

    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], device=cameras.c2w.device))  # to OpenCV
    focal = 0.5 * size / math.tan(0.5 * math.radians(float(cameras.fovy_deg[0])))
    half = 0.5 * size
    pinhole = torch.tensor([[focal, 0.0, half], [0.0, focal, half], [0.0, 0.0, 1.0]])
    color, opacity, _ = rasterization(
        splats.means, splats.rotations, splats.scales, splats.opacities, splats.harmonics,
        flip @ torch.linalg.inv(cameras.c2w), pinhole[None].to(flip), size, size,
        near_plane=0.05, sh_degree=math.isqrt(splats.harmonics.shape[1]) - 1,
    )  # fmt: skip
    return color.permute(0, 3, 1, 2), opacity.permute(0, 3, 1, 2)


def ours(splats: Gaussians, cameras: Cameras, size: int) -> tuple[Tensor, Tensor]:
    """The same by our kernels."""
    seen = splat(splats, cameras, size, size)
    return seen.color, seen.opacity


def compare(num: int, size: int, rounds: int, device: str) -> dict[str, Any]:
    """Times both by turns, after one round that compiles."""
    splats, cameras = surface_splats(num, device), turntable(1).to(device)
    with torch.no_grad():
        pairs = zip(ours(splats, cameras, size), theirs(splats, cameras, size), strict=True)
        apart = max(float((one - other).abs().max()) for one, other in pairs)
    seconds: dict[str, list[float]] = {"ours": [], "gsplat": []}
    for index in range(rounds + 1):
        for name, render in (("ours", ours), ("gsplat", theirs)):
            begin = clock(device)
            sum(part.sum() for part in render(splats, cameras, size)).backward()
            if index:
                seconds[name].append(clock(device) - begin)
    ratios = (a / b for a, b in zip(*seconds.values(), strict=True))
    medians = {f"{name}_ms": 1e3 * statistics.median(each) for name, each in seconds.items()}
    return medians | {"ratio": statistics.median(ratios), "largest_difference": apart}


def main() -> None:
    """Compares where it can, and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splats", type=int, default=30_000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    if find_spec("gsplat") is None:
        report: dict[str, Any] = {"not compared": "gsplat is not installed"}
    elif options.device == "cpu":
        report = {"not compared": "gsplat's kernels take a CUDA device"}
    else:
        report = compare(options.splats, options.size, options.rounds, options.device)
    print(json.dumps({"splats": options.splats, "size": options.size} | report))


if __name__ == "__main__":
    main()
