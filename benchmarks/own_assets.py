"""Makes the pictures of "start from my asset": as it came, and what a prompt makes of it.

    python benchmarks/own_assets.py [--objaverse ../shared/objaverse] [--only dog car]
        [--out outputs/own_assets] [--sheet docs/images/own_assets.png] [OPTION ...]

A dog of the embedded library and five assets of Objaverse, each a run of ``configs/default.yaml``
and ``configs/own_asset.yaml`` with one particle, some four minutes of one core. Runs that are
finished are not made again, and assets that are missing are left out. Further options go to
``redream fit``, as ``--trainer.max_steps=20``. Both rows of an asset show GLBs by one renderer: the
user's file above, ``particle_0.glb`` below.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from redream.assets import AssetRenderer, FolderStore, load_mesh
from redream.cameras import turntable
from redream.mini.prepare import embedded_world
from redream.tools.lightning import configured
from redream.types import TriangleMesh

_CONFIGS = Path(__file__).parents[1] / "configs"
_AZIMUTHS, _SIZE = 6, 112


class Case(NamedTuple):
    """An asset, its own caption, and what to make of it."""

    name: str
    uid: str
    caption: str
    prompt: str


_CASES = (
    Case("dog", "92cd79e32150", "a clay dog", "a marble dog"),
    Case("car", "842b98617d6eabe14abb7f2247eed28a", "a plain red car", "a golden car"),
    Case("barrel", "4d6f053a1dec95c0eed9cf4f0691d433", "a wooden barrel", "a marble barrel"),
    Case("chair", "31864488ace9d802d0242f63b2c2bb3c", "a wooden chair", "a striped chair"),
    Case("cactus", "f2beaf50f80d4ff6eaf3a83146a1f85c", "a plain green cactus", "a golden cactus"),
    Case("knight", "7ef30a58806306f7ade766d3cb8bd028", "a plain knight", "a marble knight"),
)


def main() -> None:
    """Runs what is missing and writes the sheet of what there is."""
    parser = argparse.ArgumentParser(description="Start from my asset, in pictures.")
    parser.add_argument("--objaverse", type=Path, default=Path("../shared/objaverse"))
    parser.add_argument("--only", nargs="+", default=[each.name for each in _CASES])
    parser.add_argument("--out", type=Path, default=Path("outputs/own_assets"))
    parser.add_argument("--sheet", type=Path, default=Path("docs/images/own_assets.png"))
    arguments, options = parser.parse_known_args()
    rows = []
    for case in _CASES:
        file, folder = find(case, arguments.objaverse), arguments.out / case.name
        if case.name not in arguments.only or file is None:
            continue
        if not (folder / "metrics.json").is_file():
            make(case, file, folder, options)
        said = f"{case.caption}  ->  {case.prompt}"
        rows.append((said, [pictures(load_mesh(file)), pictures(load_mesh(folder / _RESULT))]))
        write(rows, arguments.sheet)
    print(f"wrote {arguments.sheet}" if rows else "found no asset")


_RESULT = "particle_0.glb"


def find(case: Case, objaverse: Path) -> Path | None:
    """An asset's file: in the embedded library or in Objaverse's layout."""
    library = FolderStore(embedded_world().library)
    if any(asset.uid == case.uid for asset in library.assets()):
        return library.file(case.uid)
    return next(objaverse.glob(f"hf-objaverse-v1/glbs/*/{case.uid}.glb"), None)


def make(case: Case, file: Path, folder: Path, options: list[str]) -> None:
    """One run of ``redream fit``."""
    run = configured(
        _CONFIGS / "default.yaml",
        f"--config={_CONFIGS / 'own_asset.yaml'}",
        f"--prompt={case.prompt}",
        f"--data.assets={file}",
        f"--data.captions={case.caption}",
        f"--data.orient={str(case.name == 'dog').lower()}",  # those of Objaverse face +Z
        "--model.num_particles=1",
        f"--trainer.default_root_dir={folder}",
        *options,
    )
    run.trainer.fit(run.model, run.datamodule)


def pictures(mesh: TriangleMesh) -> Float[Tensor, "B 3 H W"]:
    """A mesh over white, from all round."""
    views = AssetRenderer(mesh).render(turntable(_AZIMUTHS), _SIZE, _SIZE)
    return views.over(torch.ones(1, 3, 1, 1))


def write(rows: list[tuple[str, list[Float[Tensor, "B 3 H W"]]]], path: Path) -> None:
    """A sheet: under each line of text the rows of pictures that it speaks of."""
    height = sum(14 + _SIZE * len(strips) for _, strips in rows)
    sheet = Image.new("RGB", (_AZIMUTHS * _SIZE, height), "white")
    top = 0
    for said, strips in rows:
        ImageDraw.Draw(sheet).text((4, top + 2), said, fill="black")
        top += 14
        for strip in strips:
            joined = (torch.cat(list(strip), -1).clamp(0.0, 1.0) * 255.0).round().byte()
            sheet.paste(Image.fromarray(joined.permute(1, 2, 0).numpy()), (0, top))
            top += _SIZE
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    main()
