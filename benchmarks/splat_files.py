"""Reads files of splats back by others' tools: gsply, and PlayCanvas's splat-transform by Node.

``python benchmarks/splat_files.py --page docs/splats.md`` writes random splats of degree 3 in each
format, has splat-transform (which it installs into a temporary folder) make a PLY of each, reads
that by gsply, and says by how much a value differs at most. SPZ is read by gsply alone, too; of a
glTF with KHR_gaussian_splatting, which splat-transform writes and does not read, the attributes are
compared with those that it writes of the same splats; and what it makes as SOG is read by gsply.
"""

import argparse
import json
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import gsply
import numpy as np
import torch
from gsply.spz import read_spz
from numpy.typing import NDArray
from page import put
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from redream.assets.color import decode_srgb
from redream.export.splat_formats import SPLAT_FORMATS
from redream.kernels.splats_placing import turned_about_z
from redream.kernels.splats_projection import Gaussians

TOOL, VERSION = "@playcanvas/splat-transform", "3.7.0"  # npm takes an older one with an old Node
NUM = 500
PARTS = ("places", "axes", "log scales", "opacities", "colours", "harmonics")
Values = dict[str, NDArray[np.float64]]


def splats_of(num: int, seed: int) -> Gaussians:
    """Splats within the unit cube, of degree 3."""
    random = torch.Generator().manual_seed(seed)
    return Gaussians(
        1.6 * torch.rand(num, 3, generator=random) - 0.8,
        0.1 * torch.rand(num, 3, generator=random) + 0.002,
        torch.nn.functional.normalize(torch.randn(num, 4, generator=random), dim=1),
        0.98 * torch.rand(num, generator=random) + 0.01,
        0.2 * torch.randn(num, 16, 3, generator=random).clamp(-4.0, 4.0),  # SPZ ends at 1
    )


def values_of(splats: Gaussians) -> Values:
    """The truth, as files have it."""
    return _values(
        splats.means, splats.rotations, splats.scales.log(), splats.opacities, splats.harmonics
    )


def read_by_gsply(path: Path) -> Values:
    """A file as gsply reads it."""
    read = gsply.plyread(path) if path.suffix == ".ply" else read_spz(path)
    opacities = 1.0 / (1.0 + np.exp(-np.asarray(read.opacities, np.float64)))
    harmonics = np.concatenate([read.sh0[:, None], read.shN], axis=1)
    return _values(read.means, read.quats, read.scales, opacities.ravel(), harmonics)


def attributes_of(path: Path) -> dict[str, NDArray[np.float64]]:
    """The attributes of a binary glTF's one primitive, by name."""
    data = path.read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    header, body = json.loads(data[20 : 20 + length]), data[28 + length :]
    (mesh,) = header["meshes"]
    found = {}
    for name, index in mesh["primitives"][0]["attributes"].items():
        accessor = header["accessors"][index]
        view = header["bufferViews"][accessor["bufferView"]]
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        kind, one = {5126: ("<f4", 1), 5123: ("<u2", 65535), 5121: ("u1", 255)}[
            accessor["componentType"]
        ]
        size, shape = np.dtype(kind).itemsize, (accessor["count"], width)
        strides = (view.get("byteStride", size * width), size)
        found[name] = np.ndarray(shape, kind, body, start, strides).astype(np.float64) / one
    return found


def differences(found: Values, truth: Values) -> Values:
    """The largest difference of each part; splats may come in any order."""
    nearest = KDTree(truth["places"]).query(found["places"])[1]
    if sorted(nearest.tolist()) != list(range(len(truth["places"]))):
        raise ValueError("the splats do not stand where they should")
    return {name: np.abs(found[name] - truth[name][nearest]).max() for name in PARTS}


def _values(means, turns, log_scales, opacities, harmonics) -> Values:  # type: ignore[no-untyped-def]  # noqa: ANN001
    parts = (np.asarray(each, np.float64) for each in (means, log_scales, opacities, harmonics))
    places, log_scales, opacities, harmonics = parts
    axes = Rotation.from_quat(np.asarray(turns, np.float64), scalar_first=True).as_matrix()
    base, higher = harmonics[:, 0], harmonics[:, 1:].reshape(len(places), -1)
    return dict(zip(PARTS, (places, axes, log_scales, opacities, base, higher), strict=True))


def main() -> None:
    """Writes, has others read, and compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, help="where Node's tool is, or is installed and kept"
    )
    parser.add_argument("--page", type=Path, help="put the table into a page's <!-- files -->")
    options = parser.parse_args()
    splats = splats_of(NUM, 0)
    truth, turned = values_of(splats), values_of(turned_about_z(splats))
    rows: list[tuple[str, str, Values]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept = options.folder or folder
        tool, transform = _installed(kept.resolve())
        for each in SPLAT_FORMATS.values():
            each.write(folder / f"ours{each.suffix}", splats, {})
        for kind in ("ply_splats", "spz", "spz_v4"):
            ours = folder / f"ours{SPLAT_FORMATS[kind].suffix}"
            own = turned if kind == "ply_splats" else truth
            rows.append((kind, "gsply", differences(read_by_gsply(ours), own)))
            made = transform(ours, folder / f"{kind}.ply")
            rows.append((kind, tool, differences(read_by_gsply(made), own)))
        plain = folder / f"ours{SPLAT_FORMATS['ply_splats'].suffix}"
        sog = transform(plain, folder / "made.sog")
        made = transform(sog, folder / "sog.ply")
        rows.append(("SOG of ply_splats", tool, differences(read_by_gsply(made), turned)))
        theirs = attributes_of(transform(plain, folder / "theirs.glb"))
        mine = attributes_of(folder / f"ours{SPLAT_FORMATS['glb_splats'].suffix}")
    turns = [each["KHR_gaussian_splatting:ROTATION"] for each in (mine, theirs)]
    turns[0] *= np.sign((turns[0] * turns[1]).sum(1, keepdims=True))  # q and -q are one rotation
    color = decode_srgb(torch.from_numpy(theirs["COLOR_0"][:, :3])).numpy()  # its bytes are sRGB
    theirs["COLOR_0"] = np.concatenate([color, theirs["COLOR_0"][:, 3:]], axis=1)
    shared = mine.keys() & theirs.keys()
    same = {key: float(np.abs(mine[key] - theirs[key]).max()) for key in shared}
    text = as_text(rows, tool, mine.keys() ^ theirs.keys(), same)
    print(text)
    if options.page is not None:
        put(options.page, "files", text)


def as_text(
    rows: list[tuple[str, str, Values]], tool: str, unshared: set[str], same: dict[str, float]
) -> str:
    """The table in Markdown, and what became of glTF."""
    lines = [
        f"Made by `python {' '.join(sys.argv)}` with {tool} and gsply {version('gsply')}: "
        f"{NUM} random splats of degree 3, the largest difference of a value; *axes* are the "
        "entries of a rotation's matrix, *harmonics* the coefficients beyond degree 0.",
        "",
        f"| file | read by | {' | '.join(PARTS)} |",
        "|---" * (2 + len(PARTS)) + "|",
    ]
    for kind, reader, found in rows:
        lines.append(
            f"| {kind} | {reader} | {' | '.join(f'{found[part]:.1g}' for part in PARTS)} |"
        )
    exact = max(value for key, value in same.items() if key != "COLOR_0")
    others = f"; only one of both has {', '.join(sorted(unshared))}" if unshared else ""
    lines += [
        "",
        f"glb_splats: of the {len(same)} attributes that {tool} writes of the same splats ours "
        f"differ by {exact:.1g} at most, but COLOR_0, for viewers of points: it writes bytes of "
        f"sRGB there, where glTF has linear colours; decoded, by {same['COLOR_0']:.1g}{others}.",
    ]
    return "\n".join(lines)


def _installed(folder: Path) -> tuple[str, Callable[[Path, Path], Path]]:
    """splat-transform with its version, and what makes a file of another by it."""
    package = folder / "node_modules" / TOOL / "package.json"
    if not package.is_file():
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit("this needs Node: npm is not found")
        _run(npm, "install", "--silent", "--prefix", str(folder), f"{TOOL}@{VERSION}")
    program = str(folder / "node_modules" / ".bin" / "splat-transform")

    def transform(source: Path, target: Path) -> Path:
        _run(program, "-q", "-w", "-g", "cpu", str(source), str(target))
        return target

    return f"splat-transform {json.loads(package.read_text())['version']}", transform


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")


if __name__ == "__main__":
    main()
