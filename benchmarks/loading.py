"""How much work a folder's assets are to load, turn and show, beside trimesh and Blender.

    python benchmarks/loading.py ../shared/objaverse --num 64 --out outputs/assets.png
        [--blender PYTHON]

prints seconds of one core per asset, taken alternately in one run, the most memory that loading
and showing take in a process of their own, and names what fails. Without ``--num`` every asset
is tried. ``--blender`` names a Python that has ``bpy``, whose importer is timed, too. ``--out``
is a sheet of the assets to look at.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import trimesh

from redream.assets import AssetRenderer, FolderStore, ReferenceRenderer, align_front, load_mesh
from redream.assets.decoded import DECODED
from redream.cameras import turntable
from redream.mini.prepare import embedded_world
from redream.retrieval import Encoder
from redream.tools.output import write_contact_sheet
from redream.types import TriangleMesh

_PER_ROW, _VIEWS = 8, 100
_BLENDER = """
import json, sys, time, bpy
for file in json.load(open(sys.argv[-1])):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    began = time.process_time()
    bpy.ops.import_scene.gltf(filepath=file)
    print("seconds", time.process_time() - began)
"""


def main() -> None:
    """Loads and renders assets, prints how it went and writes the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--num", type=int, help="so many, evenly spread over the folder")
    parser.add_argument("--size", type=int, default=160, help="pixels; default: %(default)s")
    parser.add_argument("--azimuth-deg", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="a PNG")
    parser.add_argument("--blender", help="a Python that has bpy")
    parser.add_argument("--orient", action="store_true", help="by the embedded CLIP")
    parser.add_argument("--peak", action="store_true", help="measures memory alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", ".*has no caption for")
    store = FolderStore(options.folder)
    assets = store.assets()
    num = options.num or len(assets)
    files = [store.file(assets[i * len(assets) // num].uid) for i in range(num)]
    if options.peak:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for file in files:
            show(load_mesh(file))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"peak memory {after / 1e6:.2f} GB, of which {before / 1e6:.2f} GB before any asset")
        return
    compare(files, options.orient)
    if options.blender:
        blender(files, options.blender)
    subprocess.run(
        [sys.executable, __file__, str(options.folder), "--num", str(num), "--peak"], check=True
    )
    if options.out:
        sheet(files, options.size, options.azimuth_deg, options.out)


def compare(files: list[Path], orient: bool) -> None:
    """Times each file by each reader, who begin in turn, then turns and shows it."""
    spent: dict[str, list[float]] = {"orient": [], "show": []}
    encoder = Encoder(str(embedded_world().retrieval_clip)) if orient else None
    show(load_mesh(files[0]))  # what is compiled or imported on first use is no asset's work
    flattened(files[0])
    as_they_come, unseen = loading(files, load_mesh), loading(files, load_unseen)
    failed = 0
    for file in files:
        try:
            mesh = load_mesh(file)
            began = time.process_time()
            if encoder is not None:
                align_front(mesh, "an asset", encoder.encode_images, encoder.encode_texts)
            spent["orient"].append(time.process_time() - began)
            began = time.process_time()
            show(mesh)
            spent["show"].append(time.process_time() - began)
        except (ValueError, OSError) as error:
            failed += 1
            print(f"{file.name}: {error}")
    print(f"{len(files) - failed} of {len(files)} loaded and shown; seconds of a core per asset:")
    for title, paired in (
        ("in the folder's order, whose files share pictures", as_they_come),
        ("each as the first that is loaded", unseen),
    ):
        print(f" {title}:")
        report("to load", paired["ours"])
        report("trimesh's, its scene flattened, its pictures decoded", paired["trimesh"])
        print(f"  trimesh / ours: {sum(paired['trimesh']) / sum(paired['ours']):.2f} of all")
    said = {
        "orient": "to turn (16 views at two elevations, encoded)",
        "show": f"to show from {_VIEWS} cameras, 64 x 64",
    }
    for name, what in said.items():
        if name != "orient" or orient:
            report(what, spent[name])


def loading(files: list[Path], load: Callable[[Path], object]) -> dict[str, list[float]]:
    """Seconds of our and of trimesh's loader for each file that both can read."""
    readers = {"ours": load, "trimesh": flattened}
    spent: dict[str, list[float]] = {name: [] for name in readers}
    DECODED.clear()
    for number, file in enumerate(files):
        seconds = {}
        try:
            for name in sorted(readers, reverse=bool(number % 2)):
                began = time.process_time()
                readers[name](file)
                seconds[name] = time.process_time() - began
        except (ValueError, OSError):
            continue  # showing it names it
        for name, each in seconds.items():
            spent[name].append(each)
    return spent


def load_unseen(file: Path) -> TriangleMesh:
    """Loads a file without the pictures of those before it."""
    DECODED.clear()
    return load_mesh(file)


def flattened(file: Path) -> object:
    """A file as trimesh reads it, as one mesh, its pictures decoded as showing it needs them."""
    scene = trimesh.load_scene(file)
    materials = [getattr(each.visual, "material", None) for each in scene.geometry.values()]
    pictures = {id(p): p for m in materials if (p := getattr(m, "baseColorTexture", None))}
    decoded = [torch.from_numpy(np.array(p.convert("RGBA"))) / 255.0 for p in pictures.values()]
    return scene.to_mesh(), decoded


def show(mesh: TriangleMesh) -> None:
    """The references of an asset (App. A)."""
    ReferenceRenderer(num_views=_VIEWS).render([mesh], [""])


def report(what: str, seconds: list[float]) -> None:
    """Prints a mean, a median and the most."""
    most, middle = max(seconds), statistics.median(seconds)
    print(f"  {what}: {statistics.mean(seconds):.3f}, median {middle:.3f}, at most {most:.3f}")


def blender(files: list[Path], python: str) -> None:
    """Times Blender's importer, in its own process."""
    listed = json.dumps([str(file.resolve()) for file in files])
    done = subprocess.run(
        [python, "-c", _BLENDER, "/dev/stdin"], input=listed, capture_output=True, text=True
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    report("Blender's importer", [float(each[1]) for each in lines if each[:1] == ["seconds"]])


def sheet(files: list[Path], size: int, azimuth_deg: int, out: Path) -> None:
    """Writes a picture of each asset."""
    camera = turntable(360, elevation_deg=20.0).select(slice(azimuth_deg % 360, None))
    camera = camera.select(slice(0, 1))
    pictures, white = [], torch.ones(1, 3, 1, 1)
    for file in files:
        try:
            pictures.append(AssetRenderer(load_mesh(file)).render(camera, size, size).over(white))
        except (ValueError, OSError):
            pictures.append(torch.ones(1, 3, size, size))
    blank = torch.ones(_PER_ROW, 3, size, size)
    rows = [
        (
            ", ".join(file.stem[:8] for file in files[start : start + _PER_ROW]),
            torch.cat([*pictures[start : start + _PER_ROW], blank])[:_PER_ROW],
        )
        for start in range(0, len(pictures), _PER_ROW)
    ]
    write_contact_sheet(rows, out)


if __name__ == "__main__":
    main()
