"""Reads files of Gaussian splats: the field's PLY, and SPZ by gsply.

A PLY holds logarithms of scales, so that none can be zero or negative: a scale of zero is a
logarithm of minus infinity, or one too small for single precision. Opacities are logits. Of a
quaternion any length will do, but none.
"""

import struct
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from redream.assets.ply_header import Header, parse_header
from redream.assets.ply_rows import body_of
from redream.errors import first_line
from redream.kernels.splats_placing import turned_about_z
from redream.kernels.splats_projection import NUM_HARMONICS, Gaussians

SPLAT_SUFFIXES = (".ply", ".spz")
MAX_SPLATS = 20_000_000
_PLACES = tuple("xyz")
_COLORS = ("f_dc_0", "f_dc_1", "f_dc_2")
_SCALES = ("scale_0", "scale_1", "scale_2")
_TURNS = ("rot_0", "rot_1", "rot_2", "rot_3")
_NEEDED = (*_PLACES, *_COLORS, "opacity", *_SCALES, *_TURNS)
_LARGEST_LOG, _SMALLEST_LOG = 88.0, -87.0  # of what single precision holds
_MOST_HEADER = 1 << 20
_SPZ_ROW = 9 + 1 + 3 + 3 + 4  # bytes of a splat without higher harmonics, at most
_SPZ_SLACK = 1 << 20  # bytes after the splats, which extensions may take


def holds_splats(path: Path) -> bool:
    """Whether a file is one of splats: by its name, and of a PLY by its header."""
    if path.suffix.lower() != ".ply":
        return path.suffix.lower() in SPLAT_SUFFIXES
    try:
        with path.open("rb") as file:
            header = parse_header(file.read(_MOST_HEADER))
    except ValueError:
        return False
    return is_of_splats(header)


def is_of_splats(header: Header) -> bool:
    """Whether a PLY's vertices have what only splats have, plain or packed."""
    names = {each.name for _, _, properties in header.elements for each in properties}
    return bool(names & {_COLORS[0], _SCALES[0], "packed_position"})


def read_splats(path: str | Path) -> Gaussians:
    """Reads a file of splats.

    Args:
        path: A ``.ply`` in the layout of Kerbl et al., which has +Y down by custom and is turned by
            180 degrees about z; or an ``.spz`` (version 1 to 4, +Y up; needs gsply).

    Returns:
        The splats on the CPU, as the file places them: +Y up, rotations of length 1.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If gsply is missing; says what to install.
        ValueError: If it cannot be read, holds no splats, or some that cannot be drawn; one line
            that names it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file of splats at {path}: check the name; of a run of splats, `redream "
            "predict --export.formats [ply_splats]` writes one"
        )
    suffix = path.suffix.lower()
    if suffix not in SPLAT_SUFFIXES:
        raise ValueError(
            f"cannot read {path}: splats are read from {' and '.join(SPLAT_SUFFIXES)}; "
            "splat-transform makes a PLY of other formats"
        )
    if suffix == ".spz":
        require_gsply()
    try:
        return turned_about_z(_ply(path)) if suffix == ".ply" else _spz(path)
    except Exception as error:  # a stranger's file can fail anywhere inside the readers
        said = first_line(error)
        next_step = "" if isinstance(error, Refused) else f"; {_GET_IT_AGAIN}"
        raise ValueError(f"cannot read {path}: {said}{next_step}") from error


_GET_IT_AGAIN = "fetch or export it again, or open it in another viewer of splats and save it there"


class Refused(ValueError):
    """A file that could be read, and why its splats are not taken; says what to do."""


def require_gsply() -> None:
    """Makes sure that SPZ can be read and written.

    Raises:
        ImportError: If gsply is missing; says what to install.
    """
    if find_spec("gsply") is None:
        raise ImportError('spz needs gsply: pip install "redream[splats]"')


def _ply(path: Path) -> Gaussians:
    data = path.read_bytes()
    header = parse_header(data)
    body = body_of(data, header)
    names = {name: [each.name for each in properties] for name, _, properties in header.elements}
    if "packed_position" in names.get("vertex", ()):
        raise Refused(
            "it is PlayCanvas's compressed PLY: `splat-transform IN.ply OUT.ply` makes it plain"
        )
    missing = [name for name in _NEEDED if name not in names.get("vertex", ())]
    if missing:
        raise Refused(
            f"it is no PLY of splats: its vertices have no {', '.join(missing)}; a mesh is shown "
            "by a viewer of meshes, and a run starts from one by --data.assets"
        )
    for name, num, properties in header.elements:
        if name != "vertex":
            body.read(num, properties)
            continue
        _require_few(num)
        numbers = body.read(num, properties).numbers
        break
    rest = sorted((each for each in numbers if each.startswith("f_rest_")), key=_number)
    if len(rest) // 3 + 1 not in NUM_HARMONICS or len(rest) % 3:
        wanted = ", ".join(str(3 * (each - 1)) for each in NUM_HARMONICS)
        raise Refused(
            f"it has {len(rest)} properties f_rest_*, and harmonics of degree 0 to 3 have "
            f"{wanted}: export it with one of these degrees"
        )

    def columns(chosen: tuple[str, ...] | list[str]) -> Tensor:
        table = np.empty((num, len(chosen)), np.float32)
        for index, name in enumerate(chosen):
            table[:, index] = numbers[name]
        return torch.from_numpy(table)

    base, higher = columns(_COLORS)[:, None], columns(rest)
    higher = higher.view(num, 3, len(rest) // 3).transpose(1, 2)  # by channel, then harmonic
    return _checked(
        columns(_PLACES),
        columns(_SCALES),
        columns(_TURNS),
        columns(("opacity",))[:, 0],
        torch.cat([base, higher], 1),
    )


def _number(name: str) -> int:
    return int(name.removeprefix("f_rest_"))


def _spz(path: Path) -> Gaussians:
    from gsply.spz import read_spz

    _require_honest(path.read_bytes())
    read = read_spz(path)
    parts = [read.means, read.scales, read.quats, read.opacities, read.sh0]
    means, scales, turns, opacities, base = (torch.from_numpy(np.array(each)) for each in parts)
    higher = torch.zeros(len(means), 0, 3) if read.shN is None else torch.tensor(read.shN)
    return _checked(means, scales, turns, opacities, torch.cat([base[:, None], higher], 1))


def _require_honest(data: bytes) -> None:
    """Refuses what unpacks to more than it says, before memory is taken for it."""
    if data[:2] == b"\x1f\x8b":
        unpacking = zlib.decompressobj(31)
        head = unpacking.decompress(data, 16)
    else:
        unpacking, head = None, data[:16]
    if len(head) < 16:
        raise ValueError("it is cut short")
    magic, _, num, degree = struct.unpack_from("<4sIIB", head)
    if magic != b"NGSP":
        raise Refused("it is not an SPZ file: check what it is, and name it by that")
    if degree >= len(NUM_HARMONICS):
        raise Refused(
            f"its harmonics are of degree {degree}, and 0 to 3 are read: export it with one of them"
        )
    _require_few(num)
    if unpacking is not None:
        most = num * (_SPZ_ROW + 3 * (NUM_HARMONICS[degree] - 1)) + _SPZ_SLACK
        unpacking.decompress(unpacking.unconsumed_tail, most)
        if not unpacking.eof and unpacking.unconsumed_tail:
            raise ValueError(f"it unpacks to more than the {num} splats that it claims")


def _require_few(num: int) -> None:
    if num > MAX_SPLATS:
        raise Refused(
            f"it has {num:,} splats, and {MAX_SPLATS:,} are the most that are taken: cut out a "
            "part of it first"
        )
    if num == 0:
        raise Refused("it has no splats: export it again")


def _checked(
    means: Tensor, log_scales: Tensor, rotations: Tensor, logits: Tensor, harmonics: Tensor
) -> Gaussians:
    """Splats of what files hold.

    Raises:
        ValueError: If some of them cannot be drawn; says how many and why.
    """
    parts = {"x, y, z": means, "rot_*": rotations, "f_*": harmonics}
    for name, part in parts.items():
        _refuse(~part.flatten(1).isfinite().all(1), f"no number (NaN or infinite) in {name}")
    _refuse(logits.isnan(), "no number (NaN) in opacity")  # infinite is all or nothing
    _refuse(log_scales.isnan().any(1), "no number (NaN) in scale_*")
    _refuse((log_scales < _SMALLEST_LOG).any(1), "a scale of zero: a logarithm of it below -87")
    _refuse((log_scales > _LARGEST_LOG).any(1), "an infinite scale: a logarithm of it above 88")
    length = rotations.double().norm(dim=1, keepdim=True)
    _refuse(length[:, 0] == 0.0, "a quaternion of length 0 in rot_*")
    turned = (rotations.double() / length).float()
    return Gaussians(means, log_scales.exp(), turned, logits.sigmoid(), harmonics)


def _refuse(is_bad: Tensor, why: str) -> None:
    num = int(is_bad.sum())
    if num:
        first = int(is_bad.nonzero()[0, 0])
        cure = "leave such splats out in an editor, or export it again"
        if "NaN" in why:
            cure = "`splat-transform IN.ply --filter-nan OUT.ply` leaves them out"
        raise Refused(
            f"{num:,} of its {len(is_bad):,} splats have {why}; the first is {first}: {cure}"
        )
