"""How fast, and how surely, a folder's assets load and show; and a sheet of them to look at.

    python benchmarks/loading.py ../shared/objaverse --num 64 --out outputs/assets.png

prints the times and names what fails. Without ``--num`` every asset is tried.
"""

import argparse
import statistics
import time
import warnings
from pathlib import Path

import torch

from redream.assets import AssetRenderer, FolderStore
from redream.cameras import turntable
from redream.tools.output import write_contact_sheet

_PER_ROW = 8


def main() -> None:
    """Loads and renders assets, prints how it went and writes the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--num", type=int, help="so many, evenly spread over the folder")
    parser.add_argument("--size", type=int, default=160, help="pixels; default: %(default)s")
    parser.add_argument("--azimuth-deg", type=float, default=30.0, help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="a PNG")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", ".*has no caption for")
    started = time.perf_counter()
    store = FolderStore(options.folder)
    assets = store.assets()
    print(f"{len(assets)} assets listed in {time.perf_counter() - started:.2f} s")
    if options.num:
        assets = [assets[i * len(assets) // options.num] for i in range(options.num)]
    cameras = turntable(360, elevation_deg=20.0).select(slice(int(options.azimuth_deg) % 360, None))
    pictures, names, load_ms, show_ms = [], [], [], []
    for asset in assets:
        try:
            started = time.perf_counter()
            mesh = store.load(asset.uid)
            loaded = time.perf_counter()
            views = AssetRenderer(mesh).render(
                cameras.select(slice(0, 1)), options.size, options.size
            )
        except (ValueError, OSError) as error:
            print(f"{asset.uid}: {error}")
            continue
        load_ms.append(1e3 * (loaded - started))
        show_ms.append(1e3 * (time.perf_counter() - loaded))
        pictures.append(views.over(torch.ones(1, 3, 1, 1)))
        names.append(asset.caption.rpartition(": ")[2])
    print(f"{len(pictures)} of {len(assets)} loaded and shown")
    print(f"to load: median {statistics.median(load_ms):.0f} ms, at most {max(load_ms):.0f} ms")
    print(f"to show: median {statistics.median(show_ms):.0f} ms, at most {max(show_ms):.0f} ms")
    if options.out:
        starts = range(0, len(pictures), _PER_ROW)
        blank = torch.ones(_PER_ROW, 3, options.size, options.size)
        rows = [
            (
                ", ".join(names[start : start + _PER_ROW]),
                torch.cat([*pictures[start : start + _PER_ROW], blank])[:_PER_ROW],
            )
            for start in starts
        ]
        write_contact_sheet(rows, options.out)


if __name__ == "__main__":
    main()
