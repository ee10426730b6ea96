"""Our splats' kernels against another's: gsplat's (CUDA), or gswarp's (Warp).

    python benchmarks/gpu_splats.py [--peer gsplat] [--splats 30000] [--size 256] [--rounds 5]

The same splats, the same camera: a picture and its gradients by turns, medians of the rounds'
ratios, and how far the pictures are apart. Where the peer is missing, or refuses the device, the
report has its own words for it. The last line is JSON.
"""

import argparse
import json
import math
import statistics
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from splats import clock, surface_splats
from torch import Tensor

from redream.cameras import turntable
from redream.errors import first_line
from redream.kernels.splats import splat
from redream.kernels.splats_projection import Gaussians
from redream.types import Cameras

NEAR = 0.05


def gsplat(splats: Gaussians, cameras: Cameras, size: int) -> tuple[Tensor, Tensor]:
    """Premultiplied colour and opacity by gsplat, as pictures of size ``1 C H W``."""
    from gsplat import rasterization

    focal = 0.5 * size / _tangent(cameras)
    half = 0.5 * size
    pinhole = torch.tensor([[focal, 0.0, half], [0.0, focal, half], [0.0, 0.0, 1.0]])
    color, opacity, _ = rasterization(
        splats.means, splats.rotations, splats.scales, splats.opacities, splats.harmonics,
        _world_to_opencv(cameras)[None], pinhole[None].to(splats.means), size, size,
        near_plane=NEAR, sh_degree=_degree(splats),
    )  # fmt: skip
    return color.permute(0, 3, 1, 2), opacity.permute(0, 3, 1, 2)


def gswarp(splats: Gaussians, cameras: Cameras, size: int) -> tuple[Tensor, Tensor]:
    """The same by gswarp, which has the interface of the method's first code."""
    from gswarp import GaussianRasterizationSettings, GaussianRasterizer

    tangent, far = _tangent(cameras), 100.0
    view = _world_to_opencv(cameras).T.contiguous()  # for rows from the left
    perspective = torch.zeros(4, 4).to(view)
    perspective[0, 0] = perspective[1, 1] = 1.0 / tangent
    perspective[2, 2], perspective[3, 2] = far / (far - NEAR), -far * NEAR / (far - NEAR)
    perspective[2, 3] = 1.0
    settings = GaussianRasterizationSettings(
        image_height=size, image_width=size, tanfovx=tangent, tanfovy=tangent,
        bg=torch.zeros(3).to(view), scale_modifier=1.0, viewmatrix=view,
        projmatrix=(view @ perspective).contiguous(), sh_degree=_degree(splats),
        campos=cameras.c2w[0, :3, 3].contiguous(), prefiltered=False, auto_tune_verbose=False,
    )  # fmt: skip
    turns = torch.nn.functional.normalize(splats.rotations, dim=1)
    color, _, more = GaussianRasterizer(settings)(
        means3D=splats.means, means2D=torch.zeros_like(splats.means, requires_grad=True),
        opacities=splats.opacities[:, None], shs=splats.harmonics, scales=splats.scales,
        rotations=turns,
    )  # fmt: skip
    return color[None], more.alpha.view(1, 1, size, size)


def ours(splats: Gaussians, cameras: Cameras, size: int) -> tuple[Tensor, Tensor]:
    """The same by our kernels."""
    seen = splat(splats, cameras, size, size)
    return seen.color, seen.opacity


PEERS: dict[str, Callable[[Gaussians, Cameras, int], tuple[Tensor, Tensor]]] = {
    "gsplat": gsplat,
    "gswarp": gswarp,
}


def _tangent(cameras: Cameras) -> float:
    return math.tan(0.5 * math.radians(float(cameras.fovy_deg[0])))


def _world_to_opencv(cameras: Cameras) -> Tensor:
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], device=cameras.c2w.device))
    return flip @ torch.linalg.inv(cameras.c2w[0])


def _degree(splats: Gaussians) -> int:
    return math.isqrt(splats.harmonics.shape[1]) - 1


def compare(peer: str, num: int, size: int, rounds: int, device: str) -> dict[str, Any]:
    """Times both by turns, after one round that compiles."""
    splats, cameras = surface_splats(num, device), turntable(1).to(device)
    renders = {"ours": ours, peer: PEERS[peer]}
    with torch.no_grad():
        pairs = zip(*(render(splats, cameras, size) for render in renders.values()), strict=True)
        apart = max(float((one - other).abs().max()) for one, other in pairs)
    seconds: dict[str, list[float]] = {name: [] for name in renders}
    for index in range(rounds + 1):
        for name, render in renders.items():
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
    parser.add_argument("--peer", choices=PEERS, default="gsplat")
    parser.add_argument("--splats", type=int, default=30_000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    peer, sizes = options.peer, (options.splats, options.size, options.rounds)
    report: dict[str, Any]
    if find_spec(peer) is None:
        report = {"not compared": f"{peer} is not installed"}
    elif options.device != "cpu":
        report = compare(peer, *sizes, options.device)
    else:
        try:
            report = compare(peer, *sizes, "cpu")
        except Exception as error:  # a refusal of any kind
            report = {"not compared": f"{peer} on a CPU: {first_line(error)}"}
    print(json.dumps({"peer": peer, "splats": options.splats, "size": options.size} | report))


if __name__ == "__main__":
    main()
