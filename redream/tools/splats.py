"""``redream splats FILE``: looks at a file of splats, and makes others of it."""

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from redream import cameras
from redream.assets.splat_files import SPLAT_SUFFIXES, read_splats
from redream.escaping import on_one_line
from redream.export.report import ParticlePage, Report, write_report
from redream.export.splat_formats import SPLAT_FORMATS
from redream.export.splat_page import page_bytes
from redream.export.turntable import write_film
from redream.kernels.splats import splat
from redream.kernels.splats_placing import fitted
from redream.kernels.splats_projection import Gaussians, require_harmonics
from redream.tools.arguments import ToolParser
from redream.tools.output import require_writable, write_contact_sheet

_SIZE = 256  # pixels of a picture
_NUM_VIEWS, _FRAMES_A_VIEW, _FRAMES_A_SECOND = 8, 4, 12

Writer = Callable[[Path, Gaussians], None]


def main(verb: str, arguments: Sequence[str]) -> None:
    """Prints what a file of splats holds, and writes what is asked for.

    Args:
        verb: ``splats``.
        arguments: The command line after the verb.

    Raises:
        ValueError: If the file cannot be read, or a name ends in what is not written.
        OSError: If a file cannot be written.
    """
    options = _parser(verb).parse_args(arguments)
    outputs = [(path, _writer(path)) for path in options.out]
    for path, _ in outputs:
        require_writable(path.parent)
        if path.resolve() == options.file.resolve():
            raise ValueError(f"{path} would be written over what it is made of: name another file")
    splats = read_splats(options.file)
    facts = describe(splats)
    print(json.dumps(facts, indent=2) if options.json else as_text(facts))
    for path, write in outputs:
        try:
            write(path, splats)
        except ValueError as error:
            raise ValueError(f"cannot make {path} of {options.file}: {error}") from error
        print(on_one_line(f"wrote {path}"), file=sys.stderr)


def _parser(verb: str) -> ToolParser:
    parser = ToolParser(
        prog=f"redream {verb}",
        description="Say what a file of splats holds, and make others of it.",
    )
    parser.add_argument("file", type=Path, help=f"{' or '.join(SPLAT_SUFFIXES)}")
    parser.add_argument(
        "--out", type=Path, nargs="+", default=[], metavar="FILE",
        help=f"by its end: {', '.join(_writers())} (pictures, or a page that turns them)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print an object")
    return parser


def _writers() -> dict[str, Writer]:
    """What is written, by the end of its name."""
    formats = {".ply": "ply_splats", ".v4.spz": "spz_v4", ".spz": "spz", ".glb": "glb_splats"}
    writers: dict[str, Writer] = {
        suffix: partial(_write_format, name) for suffix, name in formats.items()
    }
    return writers | {".png": _write_pictures, ".html": _write_page}


def _writer(path: Path) -> Writer:
    for suffix, writer in _writers().items():
        if path.name.lower().endswith(suffix):
            return writer
    raise ValueError(f"cannot write {path}: name it with one of {', '.join(_writers())}")


def describe(splats: Gaussians) -> dict[str, object]:
    """What a cloud of splats is, by name: counts, lengths in the file's unit, +Y up."""
    low, high = splats.means.amin(0), splats.means.amax(0)
    return {
        "num_splats": len(splats.means),
        "degree": require_harmonics(splats.harmonics),
        "low": [round(each, 4) for each in low.tolist()],
        "high": [round(each, 4) for each in high.tolist()],
        "median_scale": round(float(splats.scales.median()), 5),
        "median_opacity": round(float(splats.opacities.median()), 3),
    }


def as_text(facts: dict[str, object]) -> str:
    """One fact a line."""
    return "\n".join(f"{name.replace('_', ' '):15} {value}" for name, value in facts.items())


def _write_format(name: str, path: Path, splats: Gaussians) -> None:
    format_ = {str(known): each for known, each in SPLAT_FORMATS.items()}[name]
    format_.require()
    format_.write(path, splats, {})


@torch.no_grad()
def _pictures(splats: Gaussians, num: int) -> Float[Tensor, "B 3 H W"]:
    """Views from around, over white."""
    small, around = fitted(splats, 0.9), cameras.turntable(num)
    views = (around.select(slice(i, i + 1)) for i in range(num))
    seen = [splat(small, view, _SIZE, _SIZE) for view in views]
    return torch.cat([view.color + 1.0 - view.opacity for view in seen]).clamp(0.0, 1.0)


def _write_pictures(path: Path, splats: Gaussians) -> None:
    write_contact_sheet([(path.stem, _pictures(splats, _NUM_VIEWS))], path)


def _write_page(path: Path, splats: Gaussians) -> None:
    around = _pictures(splats, _NUM_VIEWS * _FRAMES_A_VIEW)
    views, azimuths = around[::_FRAMES_A_VIEW], cameras.turntable(_NUM_VIEWS).azimuth_deg
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        write_film(around, film, _FRAMES_A_SECOND)
        shown = page_bytes(splats)
        particle = ParticlePage(views, azimuths, None, film.read_bytes(), {}, splats=shown)
    facts = {name.replace("_", " "): str(value) for name, value in describe(splats).items()}
    write_report(Report(path.stem, facts, [particle], [], {}), path)
