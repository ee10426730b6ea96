"""Gaussian splats: kernels against their PyTorch reference, against a NeRF's step, and scaling.

    python benchmarks/splats.py [--splats 30000] [--size 256] [--rounds 5] [--page FILE]

Everything is timed in turn, round by round, so that a busy machine slows all alike; ratios are
medians over rounds. On a CPU the clock is the process's CPU time. The reference looks at every
splat from every pixel: one row of pixels in 16 is timed, and the time multiplied. "In tiles" is the
same code, given each tile's own splats by our lists. Memory is that of the tensors that live at
the peak, by their sizes.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import torch
from page import put  # beside this file
from torch import Tensor

from redream.cameras import turntable
from redream.kernels.splats import Blend, splat
from redream.kernels.splats_projection import Gaussians, project
from redream.kernels.splats_reference import blend_reference, project_reference
from redream.kernels.splats_tiles import list_tiles, tile_size
from redream.representations import NeRF
from redream.types import Cameras

_REFERENCE_TILE = 16  # pixels


class Times(NamedTuple):
    """Seconds of one pass of each kind."""

    forward: float
    backward: float


def surface_splats(num: int, device: str) -> Gaussians:
    """Flat splats on a sphere that fills most of the picture, covering it about once."""
    generator = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(num, 3, generator=generator), dim=1)
    width = 0.8 * (12.566 / num) ** 0.5
    scales = width * torch.tensor([1.0, 1.0, 0.25]).expand(num, 3)
    half = torch.stack([1.0 + normals[:, 2], -normals[:, 1], normals[:, 0], torch.zeros(num)], 1)
    parts = (
        0.8 * normals,
        scales.contiguous(),
        half,
        torch.full((num,), 0.9),
        0.5 * torch.randn(num, 1, 3, generator=generator),
    )
    return Gaussians(*(part.to(device).requires_grad_() for part in parts))


def clock(device: str) -> float:
    """Seconds: of this process on a CPU, of the wall with the queue empty on a GPU."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def kernel_pass(splats: Gaussians, cameras: Cameras, size: int, device: str) -> Times:
    """One picture and its gradients by the kernels."""
    begin = clock(device)
    seen = splat(splats, cameras, size, size)
    middle = clock(device)
    _loss(seen).backward()
    return Times(middle - begin, clock(device) - middle)


def reference_pass(
    splats: Gaussians, cameras: Cameras, size: int, device: str, in_tiles: bool
) -> Times:
    """The same in PyTorch: a share of the rows with all splats, or tiles with their own."""
    begin = clock(device)
    footprints = project_reference(splats, cameras, size, size)
    if in_tiles:
        kernels = project(splats, cameras, size, size)
        tiles = list_tiles(kernels, splats.opacities.detach(), size, size, _REFERENCE_TILE)
    forward, backward = clock(device) - begin, 0.0
    parts = [part[0].detach().requires_grad_() for part in footprints[:3]]
    for block in range((size // _REFERENCE_TILE) ** (2 if in_tiles else 1)):
        begin = clock(device)
        axis = torch.arange(_REFERENCE_TILE, device=device) + 0.5
        if in_tiles:
            rows = tiles.splats[tiles.offsets[block] : tiles.offsets[block + 1]].long()
            x = axis + _REFERENCE_TILE * (block % tiles.columns)
            y = axis + _REFERENCE_TILE * (block // tiles.columns)
        else:
            rows = torch.arange(len(splats.means), device=device)
            x = torch.arange(size, device=device) + 0.5
            y = axis[:1] + _REFERENCE_TILE * block
        if len(rows) == 0:
            continue
        pixels = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 1, 2)
        seen = [part[rows] for part in (*parts, footprints.depths[0], splats.opacities)]
        sums, left = blend_reference(pixels, *seen)
        middle = clock(device)
        (sums[:, :3].sum() - left.sum()).backward()
        forward, backward = forward + middle - begin, backward + clock(device) - middle
    begin = clock(device)
    torch.autograd.backward([part[0] for part in footprints[:3]], [part.grad for part in parts])
    times = 1 if in_tiles else _REFERENCE_TILE
    return Times(forward * times, (backward + clock(device) - begin) * times)


def nerf_pass(nerf: NeRF, cameras: Cameras, size: int, device: str, step: int) -> Times:
    """One picture of a NeRF and its gradients, as a step of training takes them."""
    begin = clock(device)
    nerf.update(step)
    views = nerf.render(cameras, size, size)
    middle = clock(device)
    (views.rgb.sum() + views.opacity.sum()).backward()
    return Times(middle - begin, clock(device) - middle)


def _loss(seen: Blend) -> Tensor:
    return seen.color.sum() + seen.opacity.sum()


def bytes_at_peak(splats: Gaussians, cameras: Cameras, size: int) -> int:
    """Bytes of tensors that live at the same time in a picture and its gradients, at the most.

    Counted by the shapes: parameters and their gradients are not of the step.
    """
    num = len(splats.means)
    footprints = project(splats, cameras, size, size)
    side = tile_size(torch.device("cpu"))
    tiles = list_tiles(footprints, splats.opacities.detach(), size, size, side)
    per_splat = sum(part[0, 0].numel() * part.element_size() for part in footprints)
    lists = (tiles.splats.numel() * 2 + tiles.offsets.numel()) * 4  # listed, and put in place
    picture = 2 * 8 * 4 * size * size  # features and transmittance, and their gradients
    return num * per_splat * 2 + lists + picture


def blends(splats: Gaussians, cameras: Cameras, size: int) -> int:
    """How many times a pixel looks at a splat of its tile's list."""
    footprints = project(splats, cameras, size, size)
    side = tile_size(torch.device("cpu"))
    tiles = list_tiles(footprints, splats.opacities.detach(), size, size, side)
    return tiles.splats.numel() * side * side


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Runs everything and returns the report."""
    device, size = arguments.device, arguments.size
    cameras = turntable(1).to(device)
    splats = surface_splats(arguments.splats, device)
    nerf = NeRF(blob_radius=0.8, blob_scale=30.0).to(device).train()
    for step in range(0, 96, 16):  # lets the occupancy grid learn where matter is
        nerf.update(step)
    names = ("splats", "reference", "reference in tiles", "NeRF")
    rounds: dict[str, list[Times]] = {name: [] for name in names}
    for index in range(arguments.rounds + 1):
        passes = (
            kernel_pass(splats, cameras, size, device),
            reference_pass(splats, cameras, size, device, in_tiles=False),
            reference_pass(splats, cameras, size, device, in_tiles=True),
            nerf_pass(nerf, cameras, size, device, 97 + index),
        )
        if index:  # the first compiles and warms up
            for name, each in zip(names, passes, strict=True):
                rounds[name].append(each)
    scaling = []
    for num, side in [(3_000, size), (10_000, size), (arguments.splats, size)] + [
        (arguments.splats, side) for side in (size // 4, size // 2, size * 2)
    ]:
        some = surface_splats(num, device)
        kernel_pass(some, cameras, side, device)
        times = [sum(kernel_pass(some, cameras, side, device)) for _ in range(arguments.rounds)]
        scaling.append(
            {"splats": num, "size": side, "seconds": statistics.median(times)}
            | {"looks": blends(some, cameras, side)}
        )
    total = {name: [sum(each) for each in each_round] for name, each_round in rounds.items()}
    ratio = {
        name: statistics.median(a / b for a, b in zip(total["splats"], total[name], strict=True))
        for name in names[1:]
    }
    return {
        "splats": arguments.splats,
        "size": size,
        "device": device,
        "threads": torch.get_num_threads(),
        "seconds": {
            name: {
                "forward": statistics.median(each.forward for each in each_round),
                "backward": statistics.median(each.backward for each in each_round),
            }
            for name, each_round in rounds.items()
        },
        "ratio": ratio,
        "bytes_a_splat": bytes_at_peak(splats, cameras, size) / arguments.splats,
        "scaling": scaling,
    }


def table(report: dict[str, object]) -> str:
    """The report as Markdown."""
    seconds: dict[str, dict[str, float]] = report["seconds"]  # type: ignore[assignment]
    ratio: dict[str, float] = report["ratio"]  # type: ignore[assignment]
    lines = [
        f"{report['splats']} splats at {report['size']} x {report['size']} pixels, "
        f"{report['device']}, {report['threads']} thread(s): "
        f"{report['bytes_a_splat']:.0f} bytes a splat at the peak.",
        "",
        "| | forward, s | backward, s | splats take of it |",
        "|---|---|---|---|",
    ]
    for name, each in seconds.items():
        share = f"{ratio[name]:.3f}" if name in ratio else ""
        lines.append(f"| {name} | {each['forward']:.3g} | {each['backward']:.3g} | {share} |")
    lines += ["", "| splats | pixels | s | looks at a splat, millions | ns a look |"]
    lines.append("|---|---|---|---|---|")
    for row in report["scaling"]:  # type: ignore[attr-defined]
        nanoseconds = 1e9 * row["seconds"] / row["looks"]
        lines.append(
            f"| {row['splats']} | {row['size']} x {row['size']} | {row['seconds']:.3g} | "
            f"{row['looks'] / 1e6:.1f} | {nanoseconds:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Runs the benchmark, prints tables and a line of JSON, and writes the page's part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splats", type=int, default=30_000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--page", type=Path, help="Markdown whose part about splats is replaced")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    report = measure(arguments)
    print(table(report))
    print(json.dumps(report))
    if arguments.page:
        put(arguments.page, "splats", table(report))


if __name__ == "__main__":
    main()
