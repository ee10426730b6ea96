"""What an index of 800,000 assets needs, from a small one that is measured part by part.

    python benchmarks/indexing.py FOLDER [--num 48] [--total 800000] [--page docs/library.md]
        [--check 5000] [--encoder MODEL --pretrained TAG]

indexes so many assets of a folder (by default the embedded library's) and measures the processor
seconds of each part and the bytes of each file, per asset. Then it multiplies, and checks the
multiplication: it must tell the seconds and bytes of an index of ``--check`` assets, the same
files copied under so many names, each of which is read, rendered and embedded for itself.
``--page`` puts the plan between its marks of a page.
"""

import argparse
import resource
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from page import put

from redream.assets import FolderStore, Store
from redream.indexing import IndexBuild, RenderedPictures
from redream.indexing.build import AssetPictures, ShownAsset
from redream.mini.prepare import embedded_world
from redream.retrieval import Encoder
from redream.types import Asset

MARK = "plan"
GPU_PICTURES_PER_SECOND = 2000.0
"""What a data-centre GPU encodes with a ViT-B/32 in half precision: an assumption, to be replaced
by a measurement where there is one."""


class Clock:
    """Processor seconds by part, of this process with all its threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Counts what happens inside to a part."""
        before = time.process_time()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.process_time() - before


class TimedPictures(RenderedPictures):
    """Renders as an index does, and counts loading and rendering apart."""

    def __init__(self, store: Store, size: int, clock: Clock) -> None:
        super().__init__(TimedStore(store, clock), size)
        self.clock = clock

    def pictures(self, uid: str) -> torch.Tensor:
        """Loads and renders an asset."""
        loaded = self.clock.seconds.get("load", 0.0)
        with self.clock("both"):
            found = super().pictures(uid)
        both = self.clock.seconds.pop("both")
        rendered = both - (self.clock.seconds.get("load", 0.0) - loaded)
        self.clock.seconds["render"] = self.clock.seconds.get("render", 0.0) + rendered
        return found


class TimedStore(Store):
    """A store whose loading is counted."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store, self.clock = store, clock

    def assets(self) -> list[Asset]:
        """Lists them."""
        return self.store.assets()

    def load(self, uid: str):  # noqa: ANN201
        """Loads one."""
        with self.clock("load"):
            return self.store.load(uid)


def run(
    store: Store, assets: Sequence[Asset], encoder: Encoder, out: Path
) -> tuple[dict[str, float], dict[str, int], int]:
    """Indexes assets.

    Returns:
        Processor seconds by part, bytes by file, and how many shards there were.
    """
    clock = Clock()
    pictures = TimedPictures(store, encoder.image_size, clock)
    build = IndexBuild(assets, encoder, out, pictures, None)
    reader = AssetPictures(build.pending, pictures)
    num_shards = 0
    for start in range(0, len(build.pending), build.shard_size):
        end = min(start + build.shard_size, len(build.pending))
        batch: list[ShownAsset] = [reader[row] for row in range(start, end)]
        with clock("embed"):
            shard = build.embed(batch)
        with clock("keep a shard"):
            build.keep(shard)
        num_shards += 1
    bytes_of = {"shards": sum(p.stat().st_size for p in build.unfinished.glob("*.safetensors"))}
    with clock("assemble"):
        build.assemble()
    bytes_of |= {path.name: path.stat().st_size for path in out.iterdir() if path.is_file()}
    return clock.seconds, bytes_of, num_shards


def copied(store: FolderStore, assets: Sequence[Asset], num: int, folder: Path) -> FolderStore:
    """So many assets: the files of a few, round and round, each copied under a name of its own."""
    folder.mkdir()
    for row in range(num):
        file = store.file(assets[row % len(assets)].uid)
        shutil.copyfile(file, folder / f"{row}-{file.name}")
    return FolderStore(folder)


def plan(
    seconds: dict[str, float], bytes_of: dict[str, int], file_bytes: float, num: int, total: int
) -> list[list[str]]:
    """The rows of the plan: part, per asset, of all."""
    rows = []
    for part, value in seconds.items():
        each = value / num
        rows.append(
            [part, f"{1e3 * each:.2f} ms of CPU", f"{each * total / 3600.0:,.1f} CPU hours"]
        )
    views = 8
    hours = views * total / GPU_PICTURES_PER_SECOND / 3600.0
    rows.append(
        ["embed, on a GPU", f"{views} pictures", f"{hours:,.1f} GPU hours (assumed, not measured)"]
    )
    rows.append(
        ["files read", f"{file_bytes / 1e3:,.0f} kB", f"{file_bytes * total / 1e9:,.0f} GB"]
    )
    for name, size in bytes_of.items():
        rows.append([name, f"{size / num:,.0f} B", f"{size / num * total / 1e9:,.2f} GB"])
    return rows


def main() -> None:
    """Measures, multiplies, checks, and writes the plan."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="by default the embedded library")
    parser.add_argument("--num", type=int, default=48, help="assets; default: %(default)s")
    parser.add_argument("--total", type=int, default=800_000, help="default: %(default)s")
    parser.add_argument("--check", type=int, default=96, help="assets; default: %(default)s")
    parser.add_argument("--encoder", help="by default the embedded retrieval CLIP")
    parser.add_argument("--pretrained")
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", ".*has no caption for")
    store = FolderStore(options.folder or embedded_world().library)
    encoder = Encoder(
        options.encoder or str(embedded_world().retrieval_clip), options.pretrained, "cpu"
    )
    encoder.encode_texts(["warm"]), encoder.encode_images(torch.rand(8, 3, 64, 64))
    everything = store.assets()
    chosen = np.linspace(0, len(everything) - 1, min(options.num, len(everything))).astype(int)
    assets = [everything[row] for row in chosen]
    file_bytes = float(np.mean([store.file(each.uid).stat().st_size for each in assets]))
    with tempfile.TemporaryDirectory() as name:
        seconds, bytes_of, num_shards = run(store, assets, encoder, Path(name) / "index")
        many = copied(store, assets, options.check, Path(name) / "files")
        took, kept, _ = run(many, many.assets(), encoder, Path(name) / "check")
    factor = options.check / len(assets)
    slowest = max(seconds, key=lambda part: seconds[part])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    where = options.folder.name if options.folder else "the embedded library"
    lines = [
        f"{len(assets)} assets of {where}, encoder {encoder.name}, {num_shards} shards, "
        f"one core; a process took {peak:.1f} GB. Most of the time goes to {slowest}: that is "
        "the limit.",
        "",
        f"| part | per asset | of {options.total:,} |",
        "|---|---|---|",
        *(
            f"| {' | '.join(row)} |"
            for row in plan(seconds, bytes_of, file_bytes, len(assets), options.total)
        ),
        "",
        f"Checked by an index of {options.check:,}, the same files under other names: "
        f"{sum(seconds.values()) * factor:.1f} CPU seconds foretold and {sum(took.values()):.1f} "
        f"taken; {sum(bytes_of.values()) * factor / 1e3:,.0f} kB foretold and "
        f"{sum(kept.values()) / 1e3:,.0f} written.",
    ]
    text = "\n".join(lines)
    print(text)
    if options.page is not None:
        put(options.page, MARK, text)


if __name__ == "__main__":
    main()
